"""Serve the API: `python -m api`."""

import os

import uvicorn

from api.http.http_protocol import Deadlines
from api.server import server_options
from core.config import Settings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.from_environ(os.environ)
    deadlines = Deadlines(
        head=settings.request_head_seconds, body=settings.request_body_seconds, stall=settings.request_stall_seconds
    )
    uvicorn.run("api.asgi:app", host=settings.host, port=settings.port, **server_options(deadlines))


if __name__ == "__main__":
    main()
