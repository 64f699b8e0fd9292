"""Looks up the prices of models that the log has not met, before the first batch that names them is committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.model import ENTRY_FIELDS
from chainlog_async.prices.genai import find_prices, is_installed
from chainlog_async.prices.model import Price
from chainlog_async.prices.names import canonical
from chainlog_async.storage.base import BatchStorage

logger = logging.getLogger(__name__)

MAX_KNOWN = 10_000
"""How many pairs of provider and model are remembered; names without number must not fill the memory."""

Names = tuple[str, str]
"""Provider and model as they are logged."""


class _NamesOfLine(msgspec.Struct, array_like=True, gc=False):
    timestamp: msgspec.Raw
    chain_name: msgspec.Raw
    provider_id: str
    model: str


class _NamesOfAttempt(msgspec.Struct, gc=False):
    provider_id: str
    model: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def needs_price(self) -> bool:
        return self.cost_usd is None and bool(self.prompt_tokens or self.completion_tokens)


_TRAIL = ENTRY_FIELDS.index("attempt_trail")
_TOKENS = b'_tokens":'
"""Is in a line whose attempts have tokens, and in few others: the fields of an entry itself have no names there."""

_decode_lines = msgspec.json.Decoder(_NamesOfLine).decode_lines
_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_trail = msgspec.json.Decoder(list[_NamesOfAttempt] | None).decode


class PriceLookup:
    """Knows which pairs of provider and model were looked up; one for each writer."""

    def __init__(self, storage: BatchStorage, *, enabled: bool) -> None:
        self._storage = storage
        self._is_enabled = enabled and is_installed()
        self._known: set[Names] = set()

    async def prepare(self, batch: Batch) -> None:
        """Stores the prices of models that are new in this batch. Raises what the engine raises."""
        if not self._is_enabled:
            return
        new = _names_in(batch) - self._known
        if not new:
            return
        await self._storage.add_prices(await run_in_thread(_look_up, new), {names: canonical(*names) for names in new})
        if len(self._known) + len(new) > MAX_KNOWN:
            self._known.clear()
        self._known |= new

    def forget(self) -> None:
        """Another database is open now."""
        self._known.clear()


def _names_in(batch: Batch) -> set[Names]:
    try:
        names = {(line.provider_id, line.model) for line in _decode_lines(batch.lines)}
        if _TOKENS in batch.lines:
            names.update(_names_of_attempts(batch))
        return names
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The engine will refuse that line, and the batch comes again without it.
        return set()


def _names_of_attempts(batch: Batch) -> Iterator[Names]:
    """Of those that are priced: with tokens and without a cost."""
    for data in batch.lines.split(b"\n"):
        if _TOKENS in data and len(values := _decode_values(data)) > _TRAIL:
            for attempt in _decode_trail(values[_TRAIL]) or ():
                if attempt.needs_price:
                    yield attempt.provider_id, attempt.model


def _look_up(names: Iterable[Names]) -> list[Price]:
    found: list[Price] = []
    for provider_id, model in sorted({canonical(*pair) for pair in names}):
        try:
            found += find_prices(provider_id, model)
        except Exception:  # a price that is missing must not cost the batch
            logger.warning("the price of %s %s cannot be looked up", provider_id, model, exc_info=True)
    return found
