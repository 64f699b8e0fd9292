"""Small helpers: time, units, histograms, files, locks, cancellation. Imports only `errors`."""
