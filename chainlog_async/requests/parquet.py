"""Encodes requests as a Parquet file (extra ``parquet``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainlog_async.common.extras import install_command
from chainlog_async.errors import MissingExtraError

from .encoders import flat
from .model import COLUMNS, JSON_COLUMNS, RequestLogRow

try:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter
except ModuleNotFoundError as error:
    raise MissingExtraError(f"Parquet needs pyarrow; {install_command('parquet')}") from error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ROW_GROUP = 10_000
"""Rows per row group; that many are kept in memory."""

_TYPES = {
    "timestamp": pa.timestamp("ms", tz="UTC"),
    "cost_usd": pa.float64(),
    "streamed": pa.bool_(),
} | dict.fromkeys(
    (
        *("chain_name", "provider_id", "model", "error_message", "request_id", "caller"),
        *("finish_reason", "service_tier", "response_id", "session_id", "cost_source", *JSON_COLUMNS),
    ),
    pa.string(),
)
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.int64())) for name in COLUMNS])


class ParquetEncoder:
    """Typed columns, compressed with Zstandard and named as in the database."""

    def __init__(self) -> None:
        self._made = _Pieces()
        self._writer = ParquetWriter(self._made, SCHEMA, compression="zstd")
        self._rows: list[list[object]] = []

    def encode(self, requests: Sequence[RequestLogRow]) -> bytes:
        """Adds requests. Returns a row group once there are enough rows, else nothing."""
        self._rows += map(flat, requests)
        if len(self._rows) >= ROW_GROUP:
            self._write_rows()
        return self._made.take()

    def end(self) -> bytes:
        """Returns the last row group and the file's footer."""
        self._write_rows()
        self._writer.close()
        return self._made.take()

    def _write_rows(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pa.table(arrays, schema=SCHEMA))
            self._rows.clear()


class _Pieces(io.RawIOBase):
    """A file-like object for pyarrow that collects what it writes until `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, piece: ReadableBuffer) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
