"""What the proxy of `odd_proxy` loads from its folder: keys without a database, and guardrails that refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
from fastapi import HTTPException, Request
from litellm.integrations.custom_guardrail import CustomGuardrail
from litellm.proxy._types import ProxyException, UserAPIKeyAuth


async def key_of(_request: Request, api_key: str | None) -> UserAPIKeyAuth:
    """The key sk-ID as its owner has it; sk-broke has spent its budget, and any other is refused."""
    key = (api_key or "").removeprefix("Bearer ")
    if key == "sk-broke":
        raise litellm.BudgetExceededError(current_cost=5, max_budget=1)
    if key not in {"sk-ours", "sk-slow"}:
        raise ProxyException(message="there is no such key", type="auth_error", param="key", code=401)
    return UserAPIKeyAuth(
        api_key=key,
        key_alias=f"alias of {key}",
        rpm_limit=1 if key == "sk-slow" else None,
        user_id="the user",
        team_id="team-1",
        team_alias="the team",
        org_id="org-1",
        organization_alias="the organization",
    )


class Before(CustomGuardrail):
    """Refuses before the provider is asked."""

    async def async_pre_call_hook(self, *_: Any, **__: Any) -> None:
        """Refuses."""
        raise HTTPException(400, {"error": "refused before"})


class During(CustomGuardrail):
    """Refuses while the provider is asked."""

    async def async_moderation_hook(self, *_: Any, **__: Any) -> None:
        """Refuses once the request is with the provider."""
        await asyncio.sleep(0.5)
        raise HTTPException(400, {"error": "refused during"})


class After(CustomGuardrail):
    """Refuses the answer."""

    async def async_post_call_success_hook(self, *_: Any, **__: Any) -> None:
        """Refuses."""
        raise HTTPException(400, {"error": "refused after"})
