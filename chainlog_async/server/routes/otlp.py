"""OTLP over HTTP: ``/v1/traces``, ``/v1/metrics``, and the log records that ``POST /v1/logs`` tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.entry.json_input import refuse_unclear_time
from chainlog_async.errors import ClosedError, InvalidEntryError, MissingExtraError, QueueFullError
from chainlog_async.integrations.otel import SpanIntake, UndecodableError, log_entries_of
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import ParsedParameters
from chainlog_async.server.http.request_body import RETRY_AFTER_S, BodyLimits
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply
from chainlog_async.server.received_ids import ReceivedIds, id_of

PROTOBUF: Final = "application/x-protobuf"
PROTOBUF_TYPES: Final = frozenset({PROTOBUF, "application/protobuf", "application/vnd.google.protobuf"})

_REFUSALS: Final = {
    400: ErrorReply,
    408: ErrorReply,
    413: ErrorReply,
    415: ErrorReply,
    501: ErrorReply,
    503: ErrorReply,
}


class PartialSuccess(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What was left out, in decimal digits as OTLP/JSON has them."""

    rejected_spans: str | msgspec.UnsetType = msgspec.UNSET
    rejected_log_records: str | msgspec.UnsetType = msgspec.UNSET
    error_message: str = ""


class OtlpReply(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a request of OTLP; empty when everything was taken."""

    partial_success: PartialSuccess | msgspec.UnsetType = msgspec.UNSET


class SpansBody(msgspec.Struct, rename="camel"):
    """A request of OTLP with spans, see opentelemetry.io; all of it is optional."""

    resource_spans: list[object] | None = None


class MetricsBody(msgspec.Struct, rename="camel"):
    """A request of OTLP with metrics, which are dropped; all of it is optional."""

    resource_metrics: list[object] | None = None


class _LogsBody(msgspec.Struct, rename="camel"):
    resource_logs: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_logs_body = msgspec.json.Decoder(_LogsBody)
_metrics_body = msgspec.json.Decoder(MetricsBody)


def is_protobuf(request: Request) -> bool:
    """Returns whether the body of a request is protobuf, and so OTLP."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() in PROTOBUF_TYPES


def is_otlp_logs(body: bytes) -> bool:
    """Returns whether JSON is a request of OTLP's log records: no entry has ``resourceLogs``."""
    if b'"resourceLogs"' not in body:
        return False
    try:
        return _logs_body.decode(body).resource_logs is not msgspec.UNSET
    except (msgspec.DecodeError, RecursionError):
        return False


class OtlpEndpoints:
    """The routes for programs that are instrumented with OpenTelemetry."""

    def __init__(self, chainlog: ChainLog, spans: SpanIntake, received: ReceivedIds, counters: ServiceCounters) -> None:
        self._chainlog = chainlog
        self._spans = spans
        self._received = received
        self._limits = BodyLimits(chainlog.settings.server, counters)

    def operations(self) -> Sequence[Operation]:
        """Returns the routes with their descriptions."""
        spans, metrics = (
            Body(shape, "A request of OTLP, in JSON or protobuf (extra `otel`).", kind="one_or_protobuf")
            for shape in (SpansBody, MetricsBody)
        )
        return [
            Operation(path, endpoint, OtlpReply, method=method, other_answers=_REFUSALS, body=body, needs="write")
            for path, method, endpoint, body in (
                ("/v1/traces", "POST", self.post_traces, spans),
                ("/v1/traces", "PUT", self.put_traces, spans),
                ("/v1/metrics", "POST", self.post_metrics, metrics),
            )
        ]

    async def post_traces(self, request: Request, _parameters: ParsedParameters) -> Response:
        """Accept spans of OpenTelemetry.

        Each call of a model becomes one request, however many spans tell of it, once its parent has had time to come.
        Prompts and answers are dropped. Spans that tell of no call are accepted and only say what the calls inside
        them belong to.
        """
        as_protobuf = is_protobuf(request)
        try:
            await self._spans.start()
            async with self._limits.received(request) as body:
                decoded = await run_in_thread(self._spans.take, body, is_protobuf=as_protobuf)
        except (ApiError, *_FAULTS) as error:
            return _refusal(error, as_protobuf=as_protobuf)
        return _reply("rejected_spans", decoded.rejected, decoded.reason, as_protobuf=as_protobuf)

    async def put_traces(self, request: Request, parameters: ParsedParameters) -> Response:
        """Accept spans of OpenTelemetry, as with POST."""
        return await self.post_traces(request, parameters)

    async def post_metrics(self, request: Request, _parameters: ParsedParameters) -> Response:
        """Accept metrics of OpenTelemetry, and drop them.

        Nothing in them is about a single request. Exporters send them beside spans unless told otherwise.
        """
        as_protobuf = is_protobuf(request)
        try:
            async with self._limits.received(request) as body:
                if body and not as_protobuf:
                    await run_in_thread(_check_metrics, body)
                return _reply("rejected_spans", 0, "", as_protobuf=as_protobuf)
        except (ApiError, UndecodableError) as error:
            return _refusal(error, as_protobuf=as_protobuf)

    async def logs(self, request: Request) -> Response:
        """Accepts log records in protobuf."""
        try:
            async with self._limits.received(request) as body:
                return await self.logs_of(body, as_protobuf=True)
        except ApiError as error:
            return _refusal(error, as_protobuf=True)

    async def logs_of(self, body: bytes, *, as_protobuf: bool) -> Response:
        """Accepts the log records of a body: those that tell of a call become requests, the others are dropped.

        One that an exporter repeats counts once, if it has an id of the request.
        """
        rejected, reason = 0, ""
        await self._received.load()
        try:
            for entry in await run_in_thread(log_entries_of, body, is_protobuf=as_protobuf):
                entry_id = id_of("event", entry.session_id or "", entry.request_id or "")
                if entry_id in self._received:
                    continue
                try:
                    refuse_unclear_time(entry)
                    self._chainlog.submit(entry)
                    if entry.request_id:
                        self._received.add(entry_id)
                except InvalidEntryError as error:
                    rejected, reason = rejected + 1, reason or str(error)
        except _FAULTS as error:
            return _refusal(error, as_protobuf=as_protobuf)
        finally:
            await self._received.keep()
        return _reply("rejected_log_records", rejected, reason, as_protobuf=as_protobuf)


def _check_metrics(body: bytes) -> None:
    """Raises `UndecodableError` for JSON that is no request of OTLP."""
    try:
        _metrics_body.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UndecodableError(f"the body is no request of OTLP in JSON: {error}") from error


_FAULTS: Final = (UndecodableError, MissingExtraError, QueueFullError, ClosedError)


def _refusal(error: Exception, *, as_protobuf: bool) -> Response:
    match error:
        case ApiError():
            refusal = error
        case UndecodableError():
            refusal = ApiError(400, str(error), "invalid_otlp")
        case MissingExtraError():
            refusal = ApiError(501, str(error), "not_installed")
        case _:
            code = "queue_full" if isinstance(error, QueueFullError) else "closed"
            refusal = ApiError(503, f"{error}; send it again", code, headers={"Retry-After": str(RETRY_AFTER_S)})
    if not as_protobuf:
        return refusal.reply()
    # A google.rpc.Status; exporters go by the HTTP status.
    return Response(_field(2, refusal.message.encode()), refusal.status, refusal.headers, PROTOBUF)


def _reply(field: str, rejected: int, reason: str, *, as_protobuf: bool) -> Response:
    if not as_protobuf:
        if not rejected:
            return json_reply(OtlpReply())
        return json_reply(OtlpReply(PartialSuccess(**{field: str(rejected)}, error_message=reason)))
    partial = b"\x08" + _varint(rejected) + _field(2, reason.encode()) if rejected else b""
    return Response(_field(1, partial) if partial else b"", 200, media_type=PROTOBUF)


def _field(number: int, content: bytes) -> bytes:
    """Returns a field of protobuf that holds bytes, a text or a message."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
