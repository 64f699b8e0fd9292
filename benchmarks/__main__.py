"""``python -m benchmarks [--quick] [--only TOPIC]``: what `make bench` and `make bench-quick` run."""

from __future__ import annotations

import argparse
from time import perf_counter

import chainlog_async
from benchmarks.harness.common import FULL, QUICK, Effort, say, this_machine
from benchmarks.report.publish import report
from benchmarks.report.results import Results
from benchmarks.report.targets import judge
from benchmarks.suites import (
    busy_reads,
    call_cost,
    import_cost,
    in_gateway,
    proxying,
    reads,
    saturated,
    scale,
    space,
    throughput,
)

TOPICS = ("callers_cost", "throughput", "saturated", "proxying", "busy_reads", "reads", "scale", "imports")


def main() -> None:
    """Measures, and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures chainlog-async and its peers.")
    parser.add_argument("--quick", action="store_true", help="two minutes, small databases, rough figures")
    parser.add_argument("--only", choices=TOPICS, action="append", help="only this; may be given several times")
    arguments = parser.parse_args()
    report(measure(QUICK if arguments.quick else FULL, arguments.only or TOPICS))


def measure(effort: Effort, topics: list[str] | tuple[str, ...]) -> Results:
    """The topics one after the other; each of them interleaves its own contenders."""
    started = perf_counter()
    results = Results(this_machine(), chainlog_async.__version__, effort.quick)
    # Bytes do not depend on the machine, and logs of a month take minutes to make.
    results.space = space.measured()
    if results.machine.load_before > 0.5:
        say(f"The machine is busy (load {results.machine.load_before}): the figures will be worse than it can do.")
    if "imports" in topics:
        results.imports = import_cost.run(effort)
    if "callers_cost" in topics:
        results.callers_cost = call_cost.run(effort)
    if "throughput" in topics or "scale" in topics:
        results.throughput = throughput.run(effort)
    if "saturated" in topics:
        results.saturated = saturated.run(effort)
        results.in_gateway = in_gateway.run(effort)
    if "proxying" in topics:
        results.proxying = proxying.run(effort)
    if "busy_reads" in topics:
        results.busy_reads = busy_reads.run(effort)
    if "reads" in topics:
        results.reads = reads.run(effort)
    if "scale" in topics and results.throughput is not None:
        results.scale = scale.run(results.space, results.throughput)
    results.took_s = round(perf_counter() - started, 1)
    results.targets = judge(results)
    return results


if __name__ == "__main__":
    main()
