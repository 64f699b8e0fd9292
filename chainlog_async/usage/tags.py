"""Tags as a dimension of usage: which question is about tags, and what is counted of them."""

from __future__ import annotations

import re
from typing import Final

from chainlog_async.common.clock import HOUR_MS

MAX_TAG_KEYS: Final = 100
"""How many keys usage is counted by: the first ones that were logged."""

MAX_TAG_VALUES: Final = 1_000
"""How many values of a key are counted by themselves: the first ones that were logged."""

OTHER_VALUES: Final = "(others)"
"""The value that all others of a key are counted as."""

TAG_BUCKET_MS: Final = HOUR_MS
"""Usage by tag is counted in hours (UTC): an hour belongs to the step in which it begins."""

BY_TAG: Final = "tag:"
"""What a dimension begins with that is a key of tags: ``tag:team``."""

TAG: Final = r"[^:\u0000]{1,256}:[^\u0000]{1,256}"
"""Pattern of a tag."""

BY_TAG_PATTERN: Final = r"tag:[^:\u0000]{1,256}"
"""Pattern of such a dimension."""


def key_of_dimension(by: str | None) -> str | None:
    """The key of a dimension such as ``tag:team``; None for every other one."""
    return by.removeprefix(BY_TAG) if by is not None and re.fullmatch(BY_TAG_PATTERN, by) else None


def split_tag(tag: str) -> tuple[str, str]:
    """Key and value. Raises `ValueError` when it is no tag."""
    if not re.fullmatch(TAG, tag, re.DOTALL):
        raise ValueError(f"tag is {tag[:60]!r}; give KEY:VALUE, such as team:search")
    key, _, value = tag.partition(":")
    return key, value


def in_whole_hours(start: int, end: int) -> tuple[int, int]:
    """A window (ms, UTC), extended to whole hours."""
    return start // TAG_BUCKET_MS * TAG_BUCKET_MS, -(-end // TAG_BUCKET_MS) * TAG_BUCKET_MS


def refuse_uncounted(tag: str | None, *, is_uncounted: bool) -> None:
    """Raises `ValueError` for a tag that is counted as one of the others: zero would be wrong."""
    if is_uncounted:
        raise ValueError(
            f"tag is {tag!r}, and usage is counted of the first {MAX_TAG_VALUES:,} values of a key alone; its requests "
            "can be listed, or export them and add them up"
        )
