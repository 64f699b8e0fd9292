"""Other programs' faces to the request log; each needs the extra that is named like it."""
