"""Writes a response to its connection.

uvicorn checks, compares and renders each header by itself, and writes the head and the body separately. For a small
response this takes longer than all that the application does. Here the head is rendered and checked as a whole, and
written together with the first part of the body: one system call and one packet.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_WITHOUT_BODY: Final = frozenset({204, 304})
_LINE_END: Final = b"\r\n"
# A header with one of these could end early and begin another header, or the body. A tab is allowed.
_CONTROL: Final = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of some headers, each with its end.

    Raises:
        RuntimeError: if a name or a value has a control character.
    """
    pairs = [b": ".join(header) for header in headers]
    lines = _LINE_END.join(pairs)
    # Only the ends of the lines between the headers may be missing after the control characters have been removed.
    if len(lines.translate(None, _CONTROL)) != len(lines) - len(_LINE_END) * (len(pairs) - 1):
        raise RuntimeError("A response header has a control character.")
    return lines + _LINE_END


class ResponseWriter:
    """Writes the response of one exchange, whose state it keeps up to date for uvicorn.

    Args:
        exchange: uvicorn's object for the request and its response.
        fixed_lines: The lines of the headers that every response has.
    """

    __slots__ = ("_exchange", "_fixed_lines", "_head")

    def __init__(self, exchange: RequestResponseCycle, fixed_lines: bytes) -> None:
        self._exchange = exchange
        self._fixed_lines = fixed_lines
        self._head = b""

    async def send(self, event: Any) -> None:
        """Write an ASGI event of the response. The head is written together with the event that follows it.

        Raises:
            RuntimeError: if a header has a control character, or if the body is not as long as `Content-Length` says.
        """
        exchange = self._exchange
        if exchange.flow.write_paused and not exchange.disconnected:
            await exchange.flow.drain()
        if exchange.disconnected:
            return
        if exchange.response_started:
            self._write(event.get("body", b""), is_last=not event.get("more_body", False))
        else:
            self._begin(event)

    def _begin(self, event: Mapping[str, Any]) -> None:
        exchange, status = self._exchange, event["status"]
        headers = [*event["headers"]]
        values = dict(headers)
        if b"close" in values.get(b"connection", b""):
            exchange.keep_alive = False
        elif not exchange.keep_alive:
            headers.append((b"connection", b"close"))
        length = values.get(b"content-length")
        if length is not None:
            exchange.expected_content_length = int(length)
        elif exchange.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            exchange.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
        self._head = STATUS_LINE[status] + self._fixed_lines + header_lines(headers) + _LINE_END
        exchange.response_started = True
        exchange.waiting_for_100_continue = False

    def _write(self, body: bytes, *, is_last: bool) -> None:
        exchange = self._exchange
        if exchange.scope["method"] == "HEAD":
            body = b""
            exchange.expected_content_length = 0
        elif exchange.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if is_last else b"")
        else:
            exchange.expected_content_length -= len(body)
            if exchange.expected_content_length < 0 or (is_last and exchange.expected_content_length > 0):
                raise RuntimeError("The body of a response is not as long as its Content-Length.")
        exchange.transport.write(self._head + body)
        self._head = b""
        if is_last:
            self._end()

    def _end(self) -> None:
        exchange = self._exchange
        exchange.response_complete = True
        exchange.message_event.set()
        if not exchange.keep_alive:
            exchange.transport.close()
        exchange.on_response()
