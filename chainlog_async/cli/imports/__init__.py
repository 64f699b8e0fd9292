"""Reading files of other programs: formats, records, field maps."""
