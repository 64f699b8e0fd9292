"""An entry, its validation, and its line of JSON. Imports `common` and `errors`."""
