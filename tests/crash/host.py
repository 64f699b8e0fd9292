"""A gateway on a host of its own, as a process: `python -m tests.crash.host DB ACKS URL NAME ENTRIES SECONDS`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from chainlog_async import ChainLog

from .life import Logging, Plan


async def main() -> None:
    """Logs that many entries in that time, reports its slowest call, and leaves when they are shipped."""
    db_path, acks, url, name, entries, seconds = sys.argv[1:]
    settings = {"db_url": url, "db_key": os.environ["HOST_KEY"], "shutdown_timeout_ms": 60_000}
    plan = Plan(Path(db_path), Path(acks), settings=settings)
    slowest_s = 0.0
    degraded = False
    async with ChainLog(plan.make_settings()) as chainlog:
        logging = Logging(chainlog, plan.acks, name)
        began = time.monotonic()
        for number in range(int(entries)):
            before = time.perf_counter()
            logging.log()
            slowest_s = max(slowest_s, time.perf_counter() - before)
            degraded = degraded or chainlog.health().status != "ok"
            await asyncio.sleep(max(began + number * float(seconds) / int(entries) - time.monotonic(), 0))
        await chainlog.flush()
    print(f"slowest call {1_000 * slowest_s:.1f} ms, degraded {degraded}", flush=True)  # noqa: T201  # its report


if __name__ == "__main__":
    asyncio.run(main())
