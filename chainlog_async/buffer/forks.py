"""Tells what belongs to a process that a forked child of it has none of it."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Owned(Protocol):
    def disown(self) -> None: ...


_owned: weakref.WeakSet[_Owned] = weakref.WeakSet()


def disown_after_fork(owned: _Owned) -> None:
    """Calls `disown` in every child that is forked from now on, as long as the object lives."""
    _owned.add(owned)


def _after_fork_in_child() -> None:
    for owned in list(_owned):
        owned.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
