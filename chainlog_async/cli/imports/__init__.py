"""Reading import files: formats, records, field maps."""
