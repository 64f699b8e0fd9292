"""Makes the pages of docs/reference that repeat the code, and the site: ``python -m docs.tools``, or ``make docs``."""
