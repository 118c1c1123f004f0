"""Serve the API: `python -m api`."""

import os
import sys

from api.processes import serve_in_processes
from api.server import serve
from core.config import Settings


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = Settings.from_environ(os.environ)
    if settings.web_concurrency == 1:
        serve(settings, "web")
    else:
        sys.exit(serve_in_processes(settings, settings.web_concurrency, serve))


if __name__ == "__main__":
    main()
