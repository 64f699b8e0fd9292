"""What commands print: tables, charts, log lines."""
