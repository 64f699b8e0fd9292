"""Reads what providers report in their responses: tokens, model, end and errors, never what they say.

Used by the middleware, which sees a gateway's responses, and by watched clients. Imports the entry alone.
"""
