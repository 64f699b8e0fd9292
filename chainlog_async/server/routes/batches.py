"""``/v1/batches/…``: batches of gateways on other machines, each stored at most once."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chainlog_async.chainlog import ChainLog
from chainlog_async.common.cancellation import run_in_thread
from chainlog_async.common.clock import MAX_INT64
from chainlog_async.entry.batch import Batch
from chainlog_async.entry.line import check_line
from chainlog_async.errors import EntryRejectedError, InvalidEntryError, StreamError
from chainlog_async.server.counters import ServiceCounters
from chainlog_async.server.http.operation import Body, Operation
from chainlog_async.server.http.parameters import ParsedParameters, integer_parameter, pattern_parameter
from chainlog_async.server.http.request_body import RETRY_AFTER_S, BodyLimits
from chainlog_async.server.http.responses import ApiError, ErrorReply, json_reply
from chainlog_async.wire.batches import (
    BATCHES_PATH,
    LINE_FIELDS,
    PROTOCOL,
    ROW_REFUSED,
    WRITER_ID,
    Rejection,
    StreamPosition,
)

MAX_ROWS = 100_000
"""Most rows of a batch: the largest max_batch_size."""

WRITER = replace(
    pattern_parameter("writer", "The id of the writer.", WRITER_ID, "1 to 64 letters, digits, underscores and hyphens"),
    location="path",
)
START = integer_parameter(
    "start",
    "Where the batch begins in the writer's stream, in bytes.",
    minimum=0,
    maximum=MAX_INT64,
    default=0,
    location="path",
)
END = integer_parameter("end", "Where it ends, in bytes.", minimum=0, maximum=MAX_INT64, default=0, location="path")
FIELDS = integer_parameter("fields", "How many fields a line may have.", minimum=1, maximum=1000, default=LINE_FIELDS)

REFUSALS = dict.fromkeys((408, 410, 413, 415, 422), ErrorReply)

_decode_rejection = msgspec.json.Decoder(Rejection).decode


class BatchEndpoints:
    """The routes that `storage.remote` uses; see `wire.batches`."""

    def __init__(self, chainlog: ChainLog, counters: ServiceCounters) -> None:
        self._chainlog = chainlog
        self._counters = counters
        self._limits = BodyLimits(chainlog.settings.server, counters)

    def operations(self) -> list[Operation]:
        """Returns the routes."""
        path = f"{BATCHES_PATH}/{{writer}}"
        return [
            Operation(path, self.get_position, StreamPosition, (WRITER,), needs="write"),
            Operation(path, self.forget_stream, StreamPosition, (WRITER,), method="DELETE", needs="write"),
            Operation(
                f"{path}/{{start}}/{{end}}",
                self.post_batch,
                StreamPosition,
                (WRITER, START, END, FIELDS),
                method="POST",
                needs="write",
                other_answers={409: ErrorReply, **REFUSALS},
                body=Body(str, "The lines of the journal, compressed with gzip.", "lines"),
            ),
            Operation(
                f"{path}/rejected",
                self.post_rejected,
                StreamPosition,
                (WRITER,),
                method="POST",
                needs="write",
                other_answers=REFUSALS,
                body=Body(Rejection, "The row, and why it cannot be stored.", "one"),
            ),
        ]

    async def get_position(self, _request: Request, parameters: ParsedParameters) -> Response:
        """How far the stream of a gateway is stored. Internal, for gateways whose `db_url` is this service."""
        writer = _text(parameters)
        return await _answer(writer, self._chainlog.guests.position(writer))

    async def forget_stream(self, _request: Request, parameters: ParsedParameters) -> Response:
        """A gateway has ended and deleted its journal; its position is forgotten. Internal."""
        writer = _text(parameters)
        return await _answer(writer, self._chainlog.guests.forget(writer))

    async def post_batch(self, request: Request, parameters: ParsedParameters) -> Response:
        """Store what is new of a batch of a gateway, all of it or nothing. Internal.

        Answers how far the stream is stored then, once that is committed. 422 when a row cannot be stored: the gateway
        sends parts of the batch until it knows the row, and has it kept with `rejected`.
        """
        writer, start, end = _text(parameters), parameters[START], parameters[END]
        if parameters[FIELDS] > LINE_FIELDS:
            raise ApiError(
                409,
                f"the lines have {parameters[FIELDS]} fields, and this service knows {LINE_FIELDS}: "
                "install a newer chainlog-async here first, then in the gateways",
                "newer_client",
            )
        async with self._limits.received(request, gzip=True) as lines:
            if len(lines) != end - start:
                raise ApiError(
                    400,
                    f"the batch is said to be {end - start} bytes long, and is {len(lines)}; send it again",
                    "invalid_batch",
                )
            rows = await run_in_thread(_count_checked, lines)
            reply = await _answer(writer, self._chainlog.guests.commit(Batch(writer, start, lines, rows)))
            self._counters.shipped_rows["stored"] += rows
        return reply

    async def post_rejected(self, request: Request, parameters: ParsedParameters) -> Response:
        """Keep a row of a gateway as rejected, because it cannot be stored. Internal."""
        writer = _text(parameters)
        async with self._limits.received(request) as body:
            try:
                rejection = _decode_rejection(body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ApiError(400, f"the body is no rejected row: {error}", "invalid_rejection") from None
            if not 0 < rejection.end <= MAX_INT64:
                raise ApiError(400, f"end is {rejection.end}; give the position after the row", "invalid_rejection")
            # It may be the beginning of a line alone, so only its end is a position of the stream.
            line = rejection.line.replace(b"\n", b" ") + b"\n"
            row = Batch(writer, rejection.end - len(line), line, 1)
            reply = await _answer(writer, self._chainlog.guests.reject(row, rejection.error))
            self._counters.shipped_rows["rejected"] += 1
        return reply


async def _answer(writer: str, position: Awaitable[int]) -> Response:
    try:
        return json_reply(StreamPosition(PROTOCOL, writer, await position))
    except EntryRejectedError as error:
        raise ApiError(422, str(error), ROW_REFUSED) from None
    except StreamError as error:
        raise ApiError(410, str(error), "stream_refused", headers={"Retry-After": str(RETRY_AFTER_S)}) from None


def _text(parameters: ParsedParameters) -> str:
    return parameters[WRITER] or ""


def _count_checked(lines: bytes) -> int:
    """Returns the number of lines. Raises `ApiError` when they are no batch, or one of them is no entry."""
    if not lines.endswith(b"\n"):
        raise ApiError(400, "the batch is empty, or does not end with a line; send it again", "invalid_batch")
    rows = lines.count(b"\n")
    if rows > MAX_ROWS:
        raise ApiError(400, f"the batch has {rows} rows; send {MAX_ROWS} at most", "invalid_batch")
    for number, line in enumerate(lines.split(b"\n")[:-1]):
        try:
            check_line(line)
        except InvalidEntryError as error:
            raise ApiError(422, f"line {number}: {error}", ROW_REFUSED) from None
    return rows
