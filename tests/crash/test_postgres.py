"""The torture of PostgreSQL in short: writers that are killed, and a failover to a standby that is behind."""

from __future__ import annotations

import random

import pytest

from tests.crash.postgres.torture import Result, fail_over, kill_writers, scratch_folder


def check(result: Result) -> None:
    """Every promise was kept, and there was something to keep."""
    assert not result.problems
    assert (result.lost, result.doubled) == (0, 0)
    assert result.entries > 0


@pytest.mark.timeout(180)
def test_four_writers_of_which_one_is_killed_again_and_again() -> None:
    """Nothing is lost or doubled, each stream is in order, and totals are those of the rows."""
    with scratch_folder() as folder:
        check(kill_writers(folder, 3, random.Random(1), lambda _: None))


@pytest.mark.timeout(180)
def test_a_standby_that_is_behind_gets_from_the_journals_what_it_lacks() -> None:
    """The primary dies for good, a second after its standby stopped to follow it."""
    with scratch_folder() as folder:
        check(fail_over(folder, 1, random.Random(2), lambda _: None, synchronous=False, settle_s=1))
