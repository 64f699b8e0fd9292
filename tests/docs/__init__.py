"""What the documentation says is run, or compared with what it describes."""
