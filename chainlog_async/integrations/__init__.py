"""Ways for other programs to log here: each module serves one kind of gateway, and imports only the core."""
