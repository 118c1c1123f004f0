"""Print the OpenAPI description: `python -m api.describe [name of the application]`. It needs no servers."""

import sys
from typing import Final

import orjson

from api.app import describe
from core.config import Settings

_WITHOUT_SERVERS: Final = {
    "SECRET_KEY": "-" * 32,
    "DATABASE_URL": "postgresql:///",
    "REDIS_URL": "redis://localhost:6379",
}


def main() -> None:
    """Write the description as JSON to stdout."""
    named = {"APP_NAME": sys.argv[1]} if len(sys.argv) > 1 else {}
    description = describe(Settings.from_environ(_WITHOUT_SERVERS | named))
    sys.stdout.buffer.write(orjson.dumps(description, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
