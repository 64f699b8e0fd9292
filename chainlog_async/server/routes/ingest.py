"""``POST /v1/logs``: accepts entries."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec
from anyio.lowlevel import checkpoint
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.entry.json_input import as_sent, posted_entry_from_json
from chainlog_async.entry.model import MAX_NAME_CHARS
from chainlog_async.errors import ClosedError, InvalidEntryError, QueueFullError
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.entry_schema import PostedEntry
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import Parameter, ParsedParameters
from chainlog_async.server.http.request_body import RETRY_AFTER_S, BodyLimits, Document, split_documents
from chainlog_async.server.http.responses import ApiError, ErrorReply, Problem, json_reply
from chainlog_async.server.received_ids import ReceivedIds, id_of
from chainlog_async.server.routes.otlp import OtlpEndpoints, is_otlp_logs, is_protobuf

INGEST_TURN_S = 0.002
"""How long the entries of one request are accepted before other requests get a turn, in seconds."""

MAX_REJECTED_LISTED = 1000
MAX_LISTED_ERROR_CHARS = 500


def _read_key(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME_CHARS:
        raise ValueError(text)
    return text


IDEMPOTENCY_KEY: Parameter[str] = Parameter(
    name="Idempotency-Key",
    description="Names the request: sent again with the same key and the same body, its entries count once.",
    read=_read_key,
    remedy=f"give a text of 1 to {MAX_NAME_CHARS} characters that no other request has, such as a UUID",
    schema={"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS},
    default="",
    location="header",
)


class Rejected(msgspec.Struct, frozen=True):
    """Why the entry at this index of the array, or on this line, was not accepted."""

    index: int
    error: str


class IntakeReply(msgspec.Struct, frozen=True, rename="camel"):
    """What became of the entries of a request."""

    accepted: int
    """How many entries were accepted and will be written."""
    rejected: list[Rejected]
    """Entries that cannot be stored, at most the first 1000."""
    rejected_not_listed: int | msgspec.UnsetType = msgspec.UNSET
    """How many more there are."""
    repeated: int | msgspec.UnsetType = msgspec.UNSET
    """How many of the accepted entries were received before, and so do not count again."""
    error: Problem | msgspec.UnsetType = msgspec.UNSET
    """Why none was accepted, or the rest was not; in the shape of every other error."""
    resend_from: int | msgspec.UnsetType = msgspec.UNSET
    """The index of the first entry that was not accepted: send it and those after it again."""


class Intake:
    """Counts what became of the entries of a request."""

    def __init__(self) -> None:
        self.accepted = 0
        self.repeated = 0
        self.rejected: list[Rejected] = []
        self.rejected_not_listed = 0
        self.stopped: tuple[int, QueueFullError | ClosedError] | None = None
        """Index of the first entry for which there was no room, and the reason."""

    def reject(self, index: int, error: InvalidEntryError) -> None:
        """Counts an entry that cannot be stored, and lists the first ones, so that the reply stays small."""
        if len(self.rejected) == MAX_REJECTED_LISTED:
            self.rejected_not_listed += 1
            return
        text = str(error)
        cut = text if len(text) <= MAX_LISTED_ERROR_CHARS else text[: MAX_LISTED_ERROR_CHARS - 1] + "…"
        self.rejected.append(Rejected(index, cut))

    def reply(self) -> Response:
        """Returns the response: 202, 400 when everything was rejected, 503 when the rest must be sent again."""
        content = IntakeReply(
            self.accepted,
            self.rejected,
            self.rejected_not_listed or msgspec.UNSET,
            repeated=self.repeated or msgspec.UNSET,
        )
        if self.stopped is None:
            if self.accepted or not self.rejected:
                return json_reply(content, status=202)
            content = msgspec.structs.replace(content, error=self._none_accepted().problem)
            return json_reply(content, status=400)
        index, reason = self.stopped
        code = "queue_full" if isinstance(reason, QueueFullError) else "closed"
        refusal = ApiError(503, f"{reason}; nothing from index {index} on was accepted, send it again", code)
        content = msgspec.structs.replace(content, error=refusal.problem, resend_from=index)
        return json_reply(content, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})

    def _none_accepted(self) -> ApiError:
        first = self.rejected[0]
        number = len(self.rejected) + self.rejected_not_listed
        which = "the entry was not accepted" if number == 1 else f"none of {number} entries was accepted; the first"
        return ApiError(400, f"{which}: {first.error}", "invalid_entry")


async def take_in(chainlog: ChainLog, documents: Iterable[Document], received: ReceivedIds, key: str = "") -> Intake:
    """Submits every document as an entry, up to the first one for which there is no room.

    One that was received before is accepted and not submitted again. It is known by its own id, or else, in a request
    with a key, by that and its place in it.
    """
    intake = Intake()
    pause_at = time.monotonic() + INGEST_TURN_S
    for index, document in documents:
        try:
            entry, name = posted_entry_from_json(document)
            entry_id = id_of("entry", name) if name else id_of("request", key, str(index)) if key else None
            if entry_id is not None and entry_id in received:
                intake.repeated += 1
            else:
                chainlog.submit(entry)
                if entry_id is not None:
                    received.add(entry_id)
        except InvalidEntryError as error:
            intake.reject(index, as_sent(error, document))
        except (QueueFullError, ClosedError) as error:
            intake.stopped = (index, error)
            break
        else:
            intake.accepted += 1
        if time.monotonic() >= pause_at:
            await checkpoint()
            pause_at = time.monotonic() + INGEST_TURN_S
    await received.keep()
    return intake


def ingest_operation(
    chainlog: ChainLog, counters: ServiceCounters, received: ReceivedIds, otlp: OtlpEndpoints
) -> Operation:
    """Returns the route that accepts entries."""
    limits = BodyLimits(chainlog.settings.server, counters)

    async def post_logs(request: Request, parameters: ParsedParameters) -> Response:
        """Accept entries: one, an array, or one per line.

        Answers 202 once they are accepted. An entry that cannot be stored is listed with its index and does not affect
        the others. What is sent again counts once, if the request has an `Idempotency-Key` or the entry an `entryId`.
        Log records of OpenTelemetry are told apart by their content, and answered with 200.
        """
        if is_protobuf(request):
            return await otlp.logs(request)
        async with limits.received(request) as body:
            if is_otlp_logs(body):
                return await otlp.logs_of(body, as_protobuf=False)
            await received.load()
            documents = split_documents(body, request.headers.get("content-type", ""))
            intake = await take_in(chainlog, documents, received, parameters[IDEMPOTENCY_KEY])
        return intake.reply()

    return Operation(
        "/v1/logs",
        post_logs,
        IntakeReply,
        parameters=[IDEMPOTENCY_KEY],
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
        body=Body(
            PostedEntry,
            "One entry, an array of entries, or one entry per line. Names may also be in snake_case. A timestamp is in "
            "ms since the epoch, or ISO 8601 (UTC unless it names a zone).",
        ),
    )
