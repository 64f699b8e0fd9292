"""Parquet files (extra ``parquet``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainlog_async.errors import MissingExtraError

from .encoders import flat
from .model import COLUMNS, RequestLogRow

try:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter
except ModuleNotFoundError as error:
    raise MissingExtraError("Parquet needs pyarrow: pip install 'chainlog-async[parquet]'") from error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ROW_GROUP = 10_000
"""Rows that are kept together in the file, and in memory until they are so many."""

_TYPES = {
    "timestamp": pa.timestamp("ms", tz="UTC"),
    "cost_usd": pa.float64(),
    "streamed": pa.bool_(),
} | dict.fromkeys(
    ("chain_name", "provider_id", "model", "error_message", "request_id", "caller", "metadata", "attempt_trail"),
    pa.string(),
)
SCHEMA = pa.schema([(name, _TYPES.get(name, pa.int64())) for name in COLUMNS])


class ParquetEncoder:
    """Typed columns, compressed with Zstandard, under the names that they have in the database."""

    def __init__(self) -> None:
        self._made = _Pieces()
        self._writer = ParquetWriter(self._made, SCHEMA, compression="zstd")
        self._rows: list[list[object]] = []

    def encode(self, requests: Sequence[RequestLogRow]) -> bytes:
        """The next rows once they are enough, else nothing."""
        self._rows += map(flat, requests)
        if len(self._rows) >= ROW_GROUP:
            self._write_rows()
        return self._made.take()

    def end(self) -> bytes:
        """The last rows, and the directory of the file."""
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
    """Where pyarrow writes to: what it has written since the last time can be taken away."""

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
