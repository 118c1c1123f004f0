"""An application that can respond before the body of a request has arrived.

Falcon waits for the first bytes of the body before it looks at the request. So a client had to send a part of a body
before it learnt that the whole would be refused, and one that announced a body and sent none was never refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import falcon.asgi
from falcon.asgi import Request, Response

from api.http.bodies import ended_early

_Event = dict[str, Any]
_Receive = Callable[[], Awaitable[Mapping[str, Any]]]
_Send = Callable[[_Event], Awaitable[None]]

_NOTHING_YET: Final[Mapping[str, Any]] = {"type": "http.request", "body": b"", "more_body": True}


class EarlyApp(falcon.asgi.App[Request, Response]):
    """Falcon's application. A request is served as soon as its head is complete; its body is read if it is needed."""

    async def __call__(  # type: ignore[override]  # Falcon's own class differs from its base for WSGI, too.
        self, scope: _Event, receive: _Receive, send: _Send
    ) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            body = _Body(receive, send, is_awaited=headers.get(b"expect", b"").lower() == b"100-continue")
            receive, send = body.receive, body.send
        await super().__call__(scope, receive, send)


class _Body:
    """The body of a request, of which nothing is received until it is asked for the second time.

    If `is_awaited`, the client waits with the body until the server asks for it.
    """

    def __init__(self, receive: _Receive, send: _Send, *, is_awaited: bool) -> None:
        self._receive = receive
        self._send = send
        self._is_announced = False
        self._is_awaited = is_awaited

    async def receive(self) -> Mapping[str, Any]:
        """Return an empty part the first time, and then what arrives. The server asks for the body by the second."""
        if not self._is_announced:
            self._is_announced = True
            return _NOTHING_YET
        self._is_awaited = False
        event = await self._receive()
        if event["type"] == "http.disconnect":
            # Falcon would take this for the end of a body whose length was not announced.
            raise ended_early()
        return event

    async def send(self, event: _Event) -> None:
        """Send a part of the response, and end the connection if the client still waits to be asked for the body.

        After such a response, the server cannot know whether the client sends the body or its next request.
        """
        if event["type"] == "http.response.start" and self._is_awaited:
            event = event | {"headers": [*event["headers"], (b"connection", b"close")]}
        await self._send(event)
