"""`log_request` beside the release before, in turn: the ratios, in a few minutes and on a machine that is not quiet."""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Self

from benchmarks.harness.common import environment, say

SCRIPT = Path(__file__).parents[1] / "contenders" / "one_release.py"

TARGETS = {"loop": 0.55, "gateway": 0.7}
"""Largest ratio to the release before, with the journal on, by measurement."""


class Release:
    """A process with one release, in which calls are timed."""

    def __init__(self, python: str, journal: str) -> None:
        # A script, so that nothing of this checkout comes before what is installed.
        self.process = subprocess.Popen(  # noqa: S603  # an interpreter of this checkout
            [python, str(SCRIPT), journal], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def ask(self, question: str) -> float:
        """Has something measured, in ns."""
        questions, answers = self.process.stdin, self.process.stdout
        if questions is None or answers is None:
            raise RuntimeError("the process has no pipes")
        questions.write(f"{question}\n")
        questions.flush()
        return float(answers.readline())


def compare(before: str, *, journal: str, rounds: int) -> None:
    """Prints a line for each measurement, with medians of the rounds and of their ratios."""
    with ExitStack() as stack:
        old, new = (stack.enter_context(Release(python, journal)) for python in (before, sys.executable))
        for name, target in TARGETS.items():
            for kind in ("plain", "details"):
                found = [(old.ask(f"{name} {kind}"), new.ask(f"{name} {kind}")) for _ in range(rounds)]
                then, now = (median(one[place] for one in found) for place in (0, 1))
                ratio = median(after / earlier for earlier, after in found)
                wanted = f", target {target} x" if journal == "on" and kind == "plain" else ""
                say(f"journal {journal:3}  {name:8}{kind:8} {then:7.0f} ns -> {now:7.0f} ns: {ratio:.3f} x{wanted}")


def main() -> None:
    """Compares this checkout, whose interpreter runs this, with the release that another interpreter has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", help="the Python that has the release before installed")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    for journal in ("on", "off"):
        compare(arguments.before, journal=journal, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
