"""Single requests as values: rows, filters, cursors, and files made of them. No SQL. Imports `common` and `errors`."""
