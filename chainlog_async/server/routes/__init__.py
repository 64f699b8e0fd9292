"""One file per group of routes. Imports `http`, `prometheus` and the public package."""
