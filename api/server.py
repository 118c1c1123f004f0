"""The options of uvicorn, the server of the API."""

from functools import partial
from typing import Any, Final

from api.http.http_protocol import Deadlines, HttpProtocol
from api.realtime.ws_protocol import WebSocketProtocol

_MESSAGE_BYTES: Final = 64 * 1024
_PING_SECONDS: Final = 20.0
_SHUTDOWN_SECONDS: Final = 10


def server_options(deadlines: Deadlines) -> dict[str, Any]:
    """Return the options with which uvicorn serves the API."""
    return {
        # httptools is the only parser of uvicorn that refuses requests with both Content-Length and Transfer-Encoding,
        # which allow request smuggling.
        "http": partial(HttpProtocol, deadlines=deadlines),
        "ws": WebSocketProtocol,
        "ws_max_size": _MESSAGE_BYTES,
        # Compression would double the memory of an idle socket.
        "ws_per_message_deflate": False,
        "ws_ping_interval": _PING_SECONDS,
        "ws_ping_timeout": _PING_SECONDS,
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
        "lifespan": "on",
        # The application logs the requests itself, and uses `X-Forwarded-For` only from trusted proxies.
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }
