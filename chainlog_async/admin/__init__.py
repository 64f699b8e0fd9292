"""What an operator does to a database: check, rebuild, prune, vacuum, backup, rejected entries, journals.

Imports the layers below it; the faces (`cli`, `server`) call it.
"""
