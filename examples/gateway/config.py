"""The format of gateway.yaml: providers, chains of them, and the keys of clients."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chainlog_async import RequestLogEntry


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider: its URL and key, and how long to wait for it."""

    base_url: str
    """Up to and including ``/v1``."""
    api_key_env: str | None = None
    """The environment variable that holds the key; None sends no key."""
    timeout_s: float = 30.0
    """How long it may send nothing before the next provider is tried, in seconds."""
    cooldown_s: float = 30.0
    """How long not to call it after a 429 without Retry-After, in seconds."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a chain, with its prices in US dollars per million tokens."""

    provider: str
    model: str
    prompt_usd: float = 0.0
    completion_usd: float = 0.0


class Config(msgspec.Struct, frozen=True):
    """The gateway's part of the file."""

    providers: dict[str, Provider]
    chains: dict[str, list[Target]]
    """Chains by name; clients request a chain as their ``model``."""
    callers: dict[str, str] = {}
    """Names of clients by their keys. If empty, the gateway needs no key."""
    port: int = 4291
    """The port to listen on, on this machine only."""

    def __post_init__(self) -> None:
        for name, chain in self.chains.items():
            for target in chain:
                if target.provider not in self.providers:
                    raise ValueError(f"chain {name!r} uses {target.provider!r}, which is not one of the providers")

    def cost_usd(self, entry: RequestLogEntry) -> float | None:
        """Return the cost of a request in US dollars; None if its provider and model are in no chain."""
        for target in (target for chain in self.chains.values() for target in chain):
            if (target.provider, target.model) == (entry.provider_id, entry.model):
                cost = entry.prompt_tokens * target.prompt_usd + entry.completion_tokens * target.completion_usd
                return cost / 1_000_000
        return None


def load_config(path: Path) -> Config:
    """Read the gateway's part of a YAML file. Raises `OSError`, or `msgspec.DecodeError` with the reason."""
    return msgspec.yaml.decode(path.read_bytes(), type=Config)
