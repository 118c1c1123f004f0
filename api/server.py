"""One process of the API: uvicorn, its options, and the application."""

import gc
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from api.app import create_app
from api.cores import stay_on_core
from api.http.http_protocol import Deadlines, HttpProtocol
from api.http.overload import RequestsUnderWay
from api.http.response_writer import header_lines
from api.http.security_headers import SECURITY_HEADERS, TRANSPORT_SECURITY
from api.realtime.ws_protocol import WebSocketProtocol
from core import logs, metrics, tracing
from core.config import Settings
from core.heartbeat import start_heartbeat
from core.metrics.export import Counted, start_export
from core.services.processes import Identity

_MESSAGE_BYTES: Final = 64 * 1024
_PING_SECONDS: Final = 20.0
_SHUTDOWN_SECONDS: Final = 10
# In each of its turns, the event loop accepts one connection of each listening socket (libuv 1.52), and a turn takes
# milliseconds under load. When 500 clients connected again at once, a probe on a new connection waited for a
# second, and with 16 sockets for less than 0.06 seconds.
_ACCEPTED_IN_A_TURN: Final = 16


def serve(settings: Settings, process: str, listener: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `process` is the name of this process in its log lines.

    It listens on `listener`, or on the address of the settings if there is none.

    Raises:
        SystemExit: with uvicorn's code for a failed start, if it could not start.
    """
    if settings.web_stays_on_core:
        stay_on_core(process)
    logs.configure(settings, process, in_background=True)
    tracing.configure(settings, "web")
    if listener is None:
        # This process is the only one. Several have one more, which exports what all of them have counted.
        start_export(settings, "web", Counted([metrics.memory()]))
    deadlines = Deadlines(
        head=settings.request_head_seconds, body=settings.request_body_seconds, stall=settings.request_stall_seconds
    )
    options = server_options(deadlines, is_development=settings.is_development)
    config = uvicorn.Config(create_app(settings), host=settings.host, port=settings.port, **options)
    start_heartbeat(Identity("web", process))
    server = uvicorn.Server(config)
    # The modules and the application stay until the end. A full garbage collection that visits them takes about 40 ms
    # of CPU time, during which no request advances.
    gc.collect()
    gc.freeze()
    # uvicorn ends with the signal that it received, after it has stopped everything.
    with suppress(KeyboardInterrupt):
        server.run(sockets=shared(listener or config.bind_socket()))
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def shared(listener: socket.socket) -> list[socket.socket]:
    """Return several sockets that are all the same one, with one queue of connections, for the event loop to accept."""
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_IN_A_TURN - 1))]


def server_options(deadlines: Deadlines, *, is_development: bool) -> dict[str, Any]:
    """Return the options with which uvicorn serves the API; in development, its responses do not demand TLS."""
    headers = SECURITY_HEADERS if is_development else SECURITY_HEADERS | TRANSPORT_SECURITY
    lines = header_lines((name.lower().encode(), value.encode()) for name, value in headers.items())
    return {
        # httptools is the only parser of uvicorn that refuses requests with both Content-Length and Transfer-Encoding,
        # which allow request smuggling.
        "http": partial(HttpProtocol, deadlines=deadlines, requests=RequestsUnderWay(), header_lines=lines),
        "ws": WebSocketProtocol,
        "ws_max_size": _MESSAGE_BYTES,
        # Compression would double the memory of an idle socket.
        "ws_per_message_deflate": False,
        "ws_ping_interval": _PING_SECONDS,
        "ws_ping_timeout": _PING_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
        "lifespan": "on",
        # uvicorn reads WEB_CONCURRENCY too. Here it always serves with this one process.
        "workers": 1,
        # The application logs the requests itself, and uses `X-Forwarded-For` only from trusted proxies.
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }
