"""Decompresses a body as it passes, for its reader; the client decompresses it for the program by itself."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable

Decoder = Callable[[bytes], bytes]


def decoder_of(content_encoding: str) -> Decoder | None:
    """Returns what decompresses the chunks of a body; None for an encoding that is not known.

    Clients only ask for Brotli and Zstandard when a package for it is loaded, which is then used here too.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return bytes
    if encoding in ("gzip", "x-gzip", "deflate"):
        # Both formats have a header by which zlib tells them apart.
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
    if encoding == "br" and (brotli := sys.modules.get("brotli") or sys.modules.get("brotlicffi")):
        decompressor = brotli.Decompressor()
        process: Decoder = getattr(decompressor, "process", None) or decompressor.decompress
        return process
    if encoding == "zstd" and (zstandard := sys.modules.get("zstandard")):
        decompress: Decoder = zstandard.ZstdDecompressor().decompressobj().decompress
        return decompress
    return None
