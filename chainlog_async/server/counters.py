"""What clients hold of the service, and how often its limits were applied, for ``/metrics``."""

from __future__ import annotations

from collections import Counter
from typing import Literal

StreamKind = Literal["watchers", "exports"]
"""Kinds of responses that are produced while they are sent."""

Refusal = Literal["bodies", "connections", "exports", "watchers"]
"""What there were too many of when a client was answered with 503."""

Disconnection = Literal["body_timeout", "header_timeout", "unread_bytes", "write_timeout"]
"""Which limit a disconnected client exceeded."""


ShippedOutcome = Literal["stored", "rejected"]
"""What became of the rows of other machines."""


class ServiceCounters:
    """Counted and read on the event loop of the service."""

    def __init__(self) -> None:
        self.streams: Counter[StreamKind] = Counter()
        """Clients of each kind now."""
        self.body_bytes = 0
        """Size of the request bodies that are held now."""
        self.connections = 0
        """Open connections; 0 where another server, such as a gateway's, accepts them."""
        self.unread_bytes = 0
        """Size of the responses that wait for their clients to read."""
        self.refused: Counter[Refusal] = Counter()
        self.disconnected: Counter[Disconnection] = Counter()
        self.shipped_rows: Counter[ShippedOutcome] = Counter()
        """Rows that arrived as batches of other machines. Those that were stored before are counted again."""
