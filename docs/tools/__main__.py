"""Makes the pages that repeat the code and, unless only these are asked for with ``--pages``, the site."""

from __future__ import annotations

import sys

from .reference_pages import write_pages
from .site import build_site

write_pages()
if "--pages" not in sys.argv[1:]:
    build_site()
