"""What a request is, and the line of JSON it becomes. Imports `common` and `errors`."""
