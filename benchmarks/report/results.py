"""Everything that one run found, as it is kept in results.json."""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.harness.common import Machine
from benchmarks.suites.busy_reads import BusyRead
from benchmarks.suites.call_cost import CallersCost
from benchmarks.suites.import_cost import Imports
from benchmarks.suites.in_gateway import InGateway
from benchmarks.suites.proxying import Proxying
from benchmarks.suites.reads import Reads
from benchmarks.suites.saturated import Saturated
from benchmarks.suites.scale import Scale
from benchmarks.suites.space import Space
from benchmarks.suites.throughput import Throughput


class Target(msgspec.Struct):
    """What was promised, and what was found."""

    name: str
    bound: str
    found: str
    verdict: Literal["met", "missed", "not measured"]


class Results(msgspec.Struct):
    """One run; a part that was not asked for is missing."""

    machine: Machine
    version: str
    quick: bool
    took_s: float = 0.0
    callers_cost: CallersCost | None = None
    throughput: Throughput | None = None
    saturated: Saturated | None = None
    in_gateway: list[InGateway] = []
    proxying: list[Proxying] = []
    busy_reads: list[BusyRead] = []
    reads: Reads | None = None
    scale: Scale | None = None
    imports: Imports | None = None
    space: list[Space] = []
    targets: list[Target] = []
