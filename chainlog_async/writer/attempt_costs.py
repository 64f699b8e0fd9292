"""The costs of attempts that have tokens and no cost, from the table of prices, before their batch is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import LineAttempt, LineEntry
from chainlog_async.entry.model import MAX_COST_USD, Attempt
from chainlog_async.storage.base import BatchStorage

_MARK = b'_tokens":'
"""Is in a line whose attempts have tokens, and in few others: the fields of an entry itself have no names there."""

_decode = msgspec.json.Decoder(LineEntry).decode
_encode = msgspec.json.Encoder().encode


class UnpricedAttempts:
    """The attempts of one batch that have tokens and no cost."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._lines: dict[bytes, LineEntry] = dict(_lines_with_attempts(batch))

    def __bool__(self) -> bool:
        return bool(self._lines)

    def names(self) -> set[tuple[str, str]]:
        """Returns their providers and models."""
        return {(attempt.provider_id, attempt.model) for line in self._lines.values() for attempt in _unpriced(line)}

    async def priced(self, storage: BatchStorage) -> Batch:
        """Returns the batch with their costs, as far as there are prices. Raises what the engine raises."""
        calls = [_encode(_call(line, attempt)) for line in self._lines.values() for attempt in _unpriced(line)]
        nanos = iter(await storage.price_calls(calls))
        return replace(
            self._batch, priced={data: _encode(_with_costs(line, nanos)) for data, line in self._lines.items()}
        )


def _lines_with_attempts(batch: Batch) -> Iterator[tuple[bytes, LineEntry]]:
    if _MARK not in batch.lines:
        return
    for data in batch.lines.split(b"\n"):
        if _MARK in data:
            try:
                line = _decode(data)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # The engine will refuse it, and the batch comes again without it.
                continue
            if _unpriced(line):
                yield data, line


def _unpriced(line: LineEntry) -> list[LineAttempt]:
    return [attempt for attempt in line.attempt_trail or () if _is_unpriced(attempt)]


def _is_unpriced(attempt: LineAttempt) -> bool:
    return attempt.cost_usd is None and bool(attempt.prompt_tokens or attempt.completion_tokens)


def _call(line: LineEntry, attempt: LineAttempt) -> LineEntry:
    """An attempt as the line of an entry of its own: for `BatchStorage.price_calls`."""
    return LineEntry(
        timestamp=line.timestamp,
        chain_name="",
        provider_id=attempt.provider_id,
        model=attempt.model,
        prompt_tokens=attempt.prompt_tokens or 0,
        completion_tokens=attempt.completion_tokens or 0,
        total_tokens=None,
        latency_ms=0,
        http_status=200,
        attempts=1,
        cached_tokens=attempt.cached_tokens,
        cache_write_tokens=attempt.cache_write_tokens,
        cache_write_1h_tokens=attempt.cache_write_1h_tokens,
        prompt_audio_tokens=attempt.prompt_audio_tokens,
        completion_audio_tokens=attempt.completion_audio_tokens,
        service_tier=line.service_tier,
    )


def _with_costs(line: LineEntry, nanos: Iterator[int | None]) -> Sequence[object]:
    attempts: list[Attempt] = []
    for attempt in line.attempt_trail or ():
        fields = msgspec.structs.asdict(attempt)
        if _is_unpriced(attempt) and (nano := next(nanos)) is not None:
            fields["cost_usd"] = min(nano / 1e9, MAX_COST_USD)
        attempts.append(Attempt(**fields))
    values = list(msgspec.structs.astuple(line))
    values[_TRAIL] = attempts
    return values


_TRAIL = LineEntry.__struct_fields__.index("attempt_trail")
