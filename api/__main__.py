"""Serve the API: `python -m api`."""

import os

import uvicorn

from api.server import SERVER_OPTIONS
from core.config import Settings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.from_environ(os.environ)
    uvicorn.run("api.asgi:app", host=settings.host, port=settings.port, **SERVER_OPTIONS)


if __name__ == "__main__":
    main()
