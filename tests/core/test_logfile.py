"""A log file that cannot be written: lines still go to the terminal, and logging raises no exception."""

import logging
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.logfile import SharedLogFile

SCRIPT = """
import sys, structlog
from core import logs
from core.config import Settings
settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file=sys.argv[1], log_file_bytes=1)
logs.configure(settings, "web", in_background=sys.argv[2] == "background")
for number in range(3):
    structlog.get_logger().info("line", number=number)
"""


@pytest.mark.parametrize("mode", ["background", "at once"])
@pytest.mark.parametrize("obstacle", ["no directory", "no rotation"])
def test_lines_still_go_to_the_terminal(mode: str, obstacle: str, tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    if obstacle == "no directory":
        file = tmp_path / "missing" / "app.log"
    else:
        (tmp_path / ".app.log.lock").mkdir()

    arguments = [sys.executable, "-c", SCRIPT, str(file), mode]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)  # noqa: S603 - the script is our own.

    assert done.stdout.count(b'"event":"line"') == 3


def test_only_their_owner_may_read_the_log_and_the_files_of_its_rotation(tmp_path: Path) -> None:
    file = SharedLogFile(str(tmp_path / "app.log"), max_bytes=1, backups=2)
    for number in range(2):
        file.emit(logging.makeLogRecord({"msg": f"line {number}"}))
    file.close()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert modes == {".app.log.lock": 0o600, "app.log.1": 0o600, "app.log.2": 0o600}
