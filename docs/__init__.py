"""The documentation; `docs.tools` makes the pages that repeat the code, and the site."""
