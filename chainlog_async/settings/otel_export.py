"""Where requests are sent as spans of OpenTelemetry."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from .alerts import Headers, Url
from .budgets import Name


class OtelExportSettings(BaseModel):
    """Requests as spans, by OTLP over HTTP; off without an `endpoint`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    endpoint: Url | None = Field(
        default=None,
        description="Base address of an OTLP/HTTP receiver, such as https://HOST:4318; /v1/traces is added.",
    )
    headers: Headers = Field(
        default={},
        description="Headers of each request, such as Authorization; never logged or shown.",
    )
    service_name: Name = Field(
        default="chainlog",
        description="The service.name of the spans.",
    )

    def __hash__(self) -> int:
        """By what can be hashed; a dictionary cannot."""
        return hash((self.endpoint, self.service_name, *sorted(self.headers)))
