"""Usage over time as values: dimensions, windows, points, percentiles. No SQL. Imports `common` and `errors`."""
