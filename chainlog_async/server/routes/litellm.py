"""``POST /v1/logs/litellm``: accepts what LiteLLM's `generic_api` callback posts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.errors import ClosedError, InvalidEntryError, QueueFullError
from chainlog_async.integrations.litellm_posts import PostIntake, ReportedAttempt, attempt_of
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import ParsedParameters
from chainlog_async.server.http.request_body import BodyLimits, split_documents
from chainlog_async.server.http.responses import ErrorReply
from chainlog_async.server.received_ids import ReceivedIds, id_of

from .ingest import Intake, IntakeReply


class LitellmPayload(msgspec.Struct):
    """LiteLLM's `StandardLoggingPayload` of one attempt; the fields that every one has. Many more are read."""

    litellm_call_id: str
    status: str
    """``success`` or ``failure``."""
    startTime: float  # noqa: N815  # LiteLLM's name
    """In seconds since the epoch, UTC."""
    endTime: float  # noqa: N815  # LiteLLM's name
    """In seconds since the epoch, UTC."""


class LitellmEndpoints:
    """The route for LiteLLM on other machines."""

    def __init__(self, chainlog: ChainLog, posts: PostIntake, received: ReceivedIds, counters: ServiceCounters) -> None:
        self._posts = posts
        self._received = received
        self._limits = BodyLimits(chainlog.settings.server, counters)

    def operations(self) -> Sequence[Operation]:
        """Returns the route with its description."""
        return [
            Operation(
                "/v1/logs/litellm",
                self.post_litellm,
                IntakeReply,
                method="POST",
                success=202,
                other_answers={
                    400: (IntakeReply, ErrorReply),
                    408: ErrorReply,
                    413: ErrorReply,
                    415: ErrorReply,
                    503: (IntakeReply, ErrorReply),
                },
                needs="write",
                body=Body(LitellmPayload, "One payload, an array of payloads, or one per line."),
            )
        ]

    async def post_litellm(self, request: Request, _parameters: ParsedParameters) -> Response:
        """Accept what LiteLLM's `generic_api` callback posts.

        All attempts of a request become one, once it was answered or its next attempt did not come in time. What is
        posted again counts once. Prompts and answers are dropped.
        """
        intake = Intake()
        async with self._limits.received(request) as body:
            read = await run_in_thread(_read, body, request.headers.get("content-type", ""))
        await self._received.load()
        await self._posts.start()
        new: dict[bytes, ReportedAttempt] = {}
        for index, attempt in read:
            if isinstance(attempt, InvalidEntryError):
                intake.reject(index, attempt)
                continue
            intake.accepted += 1
            post_id = _id_of(attempt)
            if post_id in self._received or post_id in new:
                intake.repeated += 1
            else:
                new[post_id] = attempt
        try:
            await run_in_thread(self._posts.hold, list(new.values()))
        except (QueueFullError, ClosedError) as error:
            intake.accepted = intake.repeated = 0
            intake.stopped = (0, error)
            return intake.reply()
        for post_id in new:
            self._received.add(post_id)
        await self._received.keep()
        return intake.reply()


def _read(body: bytes, content_type: str) -> list[tuple[int, ReportedAttempt | InvalidEntryError]]:
    read: list[tuple[int, ReportedAttempt | InvalidEntryError]] = []
    for index, document in split_documents(body, content_type):
        try:
            if (attempt := attempt_of(document)) is not None:
                read.append((index, attempt))
        except InvalidEntryError as error:
            read.append((index, error))
    return read


def _id_of(attempt: ReportedAttempt) -> bytes:
    return id_of("litellm", attempt.call_id, repr(attempt.started_s), str(attempt.status))
