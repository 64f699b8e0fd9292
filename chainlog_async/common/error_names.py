"""Describes an exception without its message."""

from __future__ import annotations

from pathlib import PurePath


def name_error(error: BaseException) -> str:
    """Describes an error by its type and the place where it was raised.

    Its message is left out: pydantic, for one, quotes the value it refuses, which may be the prompt.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return type(error).__name__
    return f"{type(error).__name__} at {PurePath(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
