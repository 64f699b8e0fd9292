"""What gateway.yaml says: providers, the chains through them, and who may ask."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chainlog_async import RequestLogEntry


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a provider is, and how patient to be with it."""

    base_url: str
    """Up to and with ``/v1``."""
    api_key_env: str | None = None
    """The environment variable that holds the key; None sends none."""
    timeout_s: float = 30.0
    """Longest silence, in seconds, before the next provider is asked."""
    cooldown_s: float = 30.0
    """How long to leave it alone after a 429 without Retry-After, in seconds."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a chain, and its price in US dollars for a million tokens."""

    provider: str
    model: str
    prompt_usd: float = 0.0
    completion_usd: float = 0.0


class Config(msgspec.Struct, frozen=True):
    """The gateway's part of the file."""

    providers: dict[str, Provider]
    chains: dict[str, list[Target]]
    """By name; clients ask for a chain as their ``model``."""
    callers: dict[str, str] = {}
    """Key of a client: who it is. Without any, everybody may ask."""
    port: int = 4291
    """Where it listens, on this machine only."""

    def __post_init__(self) -> None:
        for name, chain in self.chains.items():
            for target in chain:
                if target.provider not in self.providers:
                    raise ValueError(f"chain {name!r} asks {target.provider!r}, which is not among the providers")

    def cost_usd(self, entry: RequestLogEntry) -> float | None:
        """What a finished request cost; None when its provider and model have no price."""
        for target in (target for chain in self.chains.values() for target in chain):
            if (target.provider, target.model) == (entry.provider_id, entry.model):
                cost = entry.prompt_tokens * target.prompt_usd + entry.completion_tokens * target.completion_usd
                return cost / 1_000_000
        return None


def load_config(path: Path) -> Config:
    """The gateway's part of a YAML file. Raises `OSError`, and `msgspec.DecodeError` that tells what is wrong."""
    return msgspec.yaml.decode(path.read_bytes(), type=Config)
