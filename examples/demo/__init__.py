"""The example gateway with simulated providers and clients, without any key: ``make demo``."""
