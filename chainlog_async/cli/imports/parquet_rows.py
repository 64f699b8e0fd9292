"""Rows of a Parquet file (extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.extras import install_command

from .chunks import UnreadableFileError
from .records import Found

try:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile
except ModuleNotFoundError as error:
    raise UnreadableFileError(f"the file is Parquet, and that needs pyarrow; {install_command('parquet')}") from error

BATCH_ROWS = 1_000
"""Rows that are read at a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ParquetRows:
    """Reads a Parquet file in batches, each in a thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._batches: Iterator[list[dict[str, object]]] | None = None
        self._rows = 0
        self.names: list[str] = []
        self.done = 0.0
        """Share of the rows that was read."""

    async def block(self) -> list[Found]:
        """Returns the next rows; none at the end. Raises `UnreadableFileError`."""
        try:
            records = await run_in_thread(self._next)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableFileError(f"the Parquet file cannot be read after row {self._rows:,}: {error}") from None
        found = [Found(number, number, record) for number, record in enumerate(records, self._rows + 1)]
        self._rows += len(found)
        return found

    def _next(self) -> list[dict[str, object]]:
        if self._batches is None:
            file = ParquetFile(self._file)
            self.names = list(file.schema_arrow.names)
            self._total = max(file.metadata.num_rows, 1)
            self._batches = (_records_of(batch) for batch in file.iter_batches(BATCH_ROWS))
        records = next(self._batches, [])
        self.done = min((self._rows + len(records)) / self._total, 1.0)
        return records


def _records_of(batch: pa.RecordBatch) -> list[dict[str, object]]:
    columns = [_values_of(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values_of(column: pa.Array) -> list[object]:
    if pa.types.is_timestamp(column.type):
        # Without a zone a time is UTC; pyarrow would need a database of zones for the others.
        as_utc = column.cast(pa.timestamp(column.type.unit, tz="UTC")).cast(pa.timestamp("ms", tz="UTC"), safe=False)
        return [None if ms is None else _time(ms) for ms in as_utc.cast(pa.int64()).to_pylist()]
    if pa.types.is_duration(column.type):
        in_ms = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if us is None else us / 1000 for us in in_ms]
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: list[object] = column.to_pylist()
    if any(map(column.type.equals, (pa.binary(), pa.large_binary()))):
        return [_text(value) for value in values]
    return values


def _text(value: object) -> object:
    """Some programs write texts without saying that they are."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _time(ms: int) -> datetime | int:
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return ms
