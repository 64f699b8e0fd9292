"""How it is measured: processes, load, databases of any size, and statistics of the figures."""
