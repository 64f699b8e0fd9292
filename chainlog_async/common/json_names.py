"""How fields are called in JSON."""

from __future__ import annotations


def camel_case(name: str) -> str:
    """Returns a name in camelCase: ``cache_write_1h_tokens`` is ``cacheWrite1hTokens``.

    For the structs that have a field whose name has a digit; msgspec's own ``rename="camel"`` makes it ``1H``.
    """
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
