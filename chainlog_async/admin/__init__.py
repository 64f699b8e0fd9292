"""Operator tasks on a database: check, rebuild, prune, vacuum, backup, migrate, rejected entries, journals.

Imports only the layers below it; `cli` calls it.
"""
