"""Small things without an owner: time, units, histograms, locks, cancellation. Imports only `errors`."""
