"""Passes on the body of a response chunk by chunk, and lets an attempt see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Protocol, cast

from .attempt import WatchedAttempt


class _Stream(Protocol):
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class _AsyncStream(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


def observed(stream: object, attempt: WatchedAttempt) -> object | None:
    """Returns a stream that behaves as the given one; None for something that is no stream of httpx."""
    for base in type(stream).__mro__:
        observing = _BY_BASE.get(base.__name__)
        if observing is not None:
            kind = _classes.get(base)
            if kind is None:
                # A response insists on the class of its own library.
                kind = _classes[base] = cast("type[_Observed]", type(observing.__name__, (observing, base), {}))
            return kind(stream, attempt)
    return None


class _Observed:
    """What the two kinds have in common."""

    def __init__(self, stream: object, attempt: WatchedAttempt) -> None:
        self._stream = stream
        self._attempt = attempt

    def __getattr__(self, name: str) -> object:
        # httpx2 asks the stream how long the response took.
        return getattr(self.__dict__["_stream"], name)

    def __del__(self) -> None:
        # A call whose response nobody closes must not be missing in the log.
        self._attempt.close()


class _ObservedSync(_Observed):
    def __iter__(self) -> Generator[bytes]:
        attempt = self._attempt
        try:
            for chunk in cast("_Stream", self._stream):
                attempt.add(chunk)
                yield chunk
        except GeneratorExit:
            # Whoever stops reading closes the response as well.
            raise
        except BaseException as error:
            attempt.fail(error)
            raise
        attempt.finish()

    def close(self) -> None:
        try:
            cast("_Stream", self._stream).close()
        finally:
            self._attempt.close()


class _ObservedAsync(_Observed):
    async def __aiter__(self) -> AsyncGenerator[bytes]:
        attempt = self._attempt
        stream = cast("_AsyncStream", self._stream).__aiter__()
        try:
            async for chunk in stream:
                attempt.add(chunk)
                yield chunk
        except GeneratorExit:
            # Whoever stops reading closes the response as well.
            raise
        except BaseException as error:
            attempt.fail(error)
            raise
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        attempt.finish()

    async def aclose(self) -> None:
        try:
            await cast("_AsyncStream", self._stream).aclose()
        finally:
            self._attempt.close()


_BY_BASE: dict[str, type[_Observed]] = {"SyncByteStream": _ObservedSync, "AsyncByteStream": _ObservedAsync}
_classes: dict[type, type[_Observed]] = {}
