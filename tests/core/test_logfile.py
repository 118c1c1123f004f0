"""A log file that cannot be written: the terminal still gets its lines, and nobody's work fails."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, structlog
from core import logs
from core.config import Settings
settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file=sys.argv[1], log_file_bytes=1)
logs.configure(settings, "web", in_background=sys.argv[2] == "background")
for number in range(3):
    structlog.get_logger().info("line", number=number)
"""


@pytest.mark.parametrize("way", ["background", "at once"])
@pytest.mark.parametrize("obstacle", ["no directory", "no rotation"])
def test_lines_go_on_to_the_terminal(way: str, obstacle: str, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    if obstacle == "no directory":
        file = tmp_path / "missing" / "app.log"
    else:
        (tmp_path / ".app.log.lock").mkdir()

    arguments = [sys.executable, "-c", SCRIPT, str(file), way]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)  # noqa: S603 - our own text.

    assert done.stdout.count(b'"event":"line"') == 3
