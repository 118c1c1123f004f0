"""How the API is served: uvicorn, with everything set that its defaults leave open."""

from typing import Any, Final

from api.realtime.ws_protocol import WebSocketProtocol

_MESSAGE_BYTES: Final = 64 * 1024
_PING_SECONDS: Final = 20.0
_SHUTDOWN_SECONDS: Final = 10

SERVER_OPTIONS: Final[dict[str, Any]] = {
    # Requests with both Content-Length and Transfer-Encoding are refused by this parser alone.
    "http": "httptools",
    "ws": WebSocketProtocol,
    "ws_max_size": _MESSAGE_BYTES,
    # Compression would double what an idle socket costs.
    "ws_per_message_deflate": False,
    "ws_ping_interval": _PING_SECONDS,
    "ws_ping_timeout": _PING_SECONDS,
    "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
    "lifespan": "on",
    # The application logs its requests itself, and knows better whose word to take for the caller's address.
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,
    "server_header": False,
}
