"""The example gateway with simulated providers and clients; needs no keys. Run it with ``make demo``."""
