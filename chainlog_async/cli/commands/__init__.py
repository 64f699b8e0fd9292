"""One module per command, named after it. Imports `options`, `output`, `imports` and the public package."""
