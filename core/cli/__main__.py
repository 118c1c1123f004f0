"""The entry point of `allweather`, which is also `python -m core.cli`."""

import os
import sys

from core.cli import backups, demonstration, operations, people, running  # noqa: F401 - importing a module declares its commands.
from core.cli.application import allweather, main

__all__ = ["allweather", "main", "start"]


def start() -> None:
    """Run the command of `sys.argv` in the environment of the process, and end with its exit code."""
    sys.exit(main(sys.argv[1:], os.environ))


if __name__ == "__main__":
    start()
