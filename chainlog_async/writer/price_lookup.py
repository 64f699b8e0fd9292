"""Looks up the prices of models that the log has not met, before the first batch that names them is committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec

from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.batch import Batch
from chainlog_async.prices.genai import find_prices, is_installed
from chainlog_async.prices.model import Price
from chainlog_async.prices.names import canonical
from chainlog_async.storage.base import BatchStorage

from .attempt_costs import UnpricedAttempts

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


_decode_lines = msgspec.json.Decoder(_NamesOfLine).decode_lines


class PriceLookup:
    """Knows which pairs of provider and model were looked up; one for each writer."""

    def __init__(self, storage: BatchStorage, *, enabled: bool) -> None:
        self._storage = storage
        self._is_enabled = enabled
        self._can_look_up = is_installed()
        self._known: set[Names] = set()

    async def prepare(self, batch: Batch) -> Batch:
        """Stores the prices of models that are new in this batch, and returns it with the costs of its attempts.

        Raises what the engine raises.
        """
        if not self._is_enabled:
            return batch
        attempts = UnpricedAttempts(batch)
        if self._can_look_up:
            await self._look_up(_names_in(batch) | attempts.names())
        return await attempts.priced(self._storage) if attempts else batch

    async def _look_up(self, names: set[Names]) -> None:
        new = names - self._known
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
        return {(line.provider_id, line.model) for line in _decode_lines(batch.lines)}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The engine will refuse that line, and the batch comes again without it.
        return set()


def _look_up(names: Iterable[Names]) -> list[Price]:
    found: list[Price] = []
    for provider_id, model in sorted({canonical(*pair) for pair in names}):
        try:
            found += find_prices(provider_id, model)
        except Exception:  # a price that is missing must not cost the batch
            logger.warning("the price of %s %s cannot be looked up", provider_id, model, exc_info=True)
    return found
