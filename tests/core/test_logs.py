"""The logs: JSON lines without secrets, and many processes that write to one file."""

import io
import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF
from typing import Any

import pytest
import structlog

from core import logs
from core.config import Settings
from core.logfile import SharedLogFile
from tests.polling import wait_until

LINES_EACH = 300


@pytest.fixture
def configured(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """Configure this process to log to a file, and restore the previous configuration afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    file = tmp_path / "app.log"
    logs.configure(settings.model_copy(update={"log_file": str(file)}), "tests")
    yield file
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def written(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def test_each_line_of_the_file_is_a_json_object(configured: Path) -> None:
    structlog.get_logger().info("change", task_id=7)
    logging.getLogger("some.library").warning("look at %s", "this")

    ours, foreign = written(configured)
    assert (ours["event"], ours["task_id"], ours["process"], ours["level"]) == ("change", 7, "tests", "info")
    assert (foreign["event"], foreign["process"], foreign["level"]) == ("look at this", "tests", "warning")
    assert ours["timestamp"].endswith("Z")


def test_values_named_like_secrets_are_blanked_at_any_depth(configured: Path) -> None:
    structlog.get_logger().info(
        "x", password="p1", deep={"list": [{"refresh_token": "p2", "ok": 1}]}, Authorization="p3", new_ticket="p4"
    )

    (line,) = written(configured)
    assert not any(secret in repr(line) for secret in ("p1", "p2", "p3", "p4"))
    assert line["deep"]["list"][0]["ok"] == 1


def test_a_traceback_is_part_of_its_line(configured: Path) -> None:
    structlog.get_logger().error("unexpected_failure", exc_info=LookupError("lost"))

    (line,) = written(configured)
    assert "LookupError: lost" in line["exception"]


def test_info_and_debug_lines_of_verbose_libraries_are_not_logged(configured: Path) -> None:
    logging.getLogger("uvicorn.error").info('"WebSocket /ws?ticket=secret" [accepted]')
    logging.getLogger("urllib3").debug("GET /?appid=secret")

    assert written(configured) == []


def test_statements_with_their_values_are_not_logged_even_at_the_level_debug(configured: Path) -> None:
    logging.getLogger().setLevel(logging.DEBUG)

    logging.getLogger("peewee").debug("INSERT INTO users …")

    assert written(configured) == []


def test_a_library_line_written_in_the_background_has_the_request_id() -> None:
    script = """
import logging, sys, structlog
from core import logs
from core.config import Settings
from core.log_context import begin_log_context
logs.configure(Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file=""), "web", in_background=True)
begin_log_context(request_id="the-request")
logging.getLogger("some.library").warning("careful")
"""
    arguments = [sys.executable, "-c", script]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)  # noqa: S603 - the script is our own.

    line = json.loads(done.stdout)
    assert (line["event"], line["request_id"]) == ("careful", "the-request")


KILLED_AFTER_FINISH = """
import os, signal, sys, structlog
from core import logs
from core.config import Settings
settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file=sys.argv[1])
logs.configure(settings, "web", in_background=True)
for number in range(int(sys.argv[2])):
    structlog.get_logger().info("line", number=number)
logs.finish()
structlog.get_logger().info("line", number=int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_has_written_all_lines_before_and_after_finish(tmp_path: Path) -> None:
    file = tmp_path / "app.log"

    arguments = [sys.executable, "-c", KILLED_AFTER_FINISH, str(file), str(LINES_EACH)]
    done = subprocess.run(arguments, stdout=subprocess.DEVNULL, timeout=60, check=False)  # noqa: S603 - the script is our own.

    assert done.returncode == -signal.SIGKILL
    assert [line["number"] for line in written(file)] == list(range(LINES_EACH + 1))


WRITER = """
import sys, structlog
from core import logs
from core.config import Settings
settings = Settings(secret_key="x" * 32, database_url="-", redis_url="-", log_file=sys.argv[1], log_file_bytes=20000,
                    log_file_backups=50)
logs.configure(settings, sys.argv[2])
for number in range(int(sys.argv[3])):
    structlog.get_logger().info("line", number=number)
"""


def test_several_processes_write_and_rotate_one_file_without_loss(tmp_path: Path) -> None:
    """Each line is a write of its own here: a background thread might write all lines before any process rotates."""
    file = tmp_path / "app.log"
    writers = [
        subprocess.Popen(  # noqa: S603 - this interpreter and the script above.
            [sys.executable, "-c", WRITER, str(file), name, str(LINES_EACH)], stdout=subprocess.DEVNULL
        )
        for name in ("a", "b", "c")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]

    files = [path for path in tmp_path.iterdir() if path.name.startswith("app.log")]
    lines = [(line["process"], line["number"]) for path in files for line in written(path)]
    assert len(files) > 1
    assert sorted(lines) == [(name, number) for name in "abc" for number in range(LINES_EACH)]


class Pipe(io.StringIO):
    """A stream that keeps what was written by each call. It writes nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = threading.Event()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.is_open.wait(30)
        self.writes.append(text)
        return super().write(text)


def test_a_pipe_gets_whole_lines_in_writes_that_it_keeps_together(
    configured: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    production = settings.model_copy(update={"app_env": "production", "log_file": ""})
    logs.configure(production, "tests", in_background=True)
    events = [f"é{number} " + "x" * (number * 97 % 1000) for number in range(200)] + ["y" * 2 * PIPE_BUF, "last"]

    for event in events:
        structlog.get_logger().info(event)
    pipe.is_open.set()
    logs.finish()

    assert [json.loads(line)["event"] for line in pipe.getvalue().splitlines()] == events
    assert all(write.endswith("\n") for write in pipe.writes)
    (too_long,) = [write for write in pipe.writes if len(write.encode()) > PIPE_BUF]
    assert "y" * 2 * PIPE_BUF in too_long
    # Lines share their writes, since each write is a system call.
    assert len(pipe.writes) < len(events) / 2


class Unwritable:
    def __repr__(self) -> str:
        raise LookupError


@pytest.fixture
def background(settings: Settings, configured: Path) -> Path:
    """Write the lines to the same file in the background."""
    logs.configure(settings.model_copy(update={"log_file": str(configured)}), "tests", in_background=True)
    return configured


def test_a_line_that_cannot_be_written_prevents_no_other(background: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    log = structlog.get_logger()

    log.info("before")
    log.info("wrong", value=Unwritable(), task_id=7)
    log.info("endless", value=endless)
    wait_until(lambda: len(written(background)) == 3)
    log.info("after")
    logs.finish()

    _, wrong, endless_line, after = written(background)
    assert (wrong["event"], wrong["task_id"], wrong["unwritable"]) == ("wrong", 7, "LookupError")
    assert (endless_line["event"], endless_line["unwritable"]) == ("endless", "RecursionError")
    assert after["event"] == "after"


class Gate:
    """Holds the writing of lines until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_reached = threading.Event()
        self.is_open = threading.Event()
        write = SharedLogFile.emit

        def wait_and_write(file: SharedLogFile, record: logging.LogRecord) -> None:
            self.is_reached.set()
            self.is_open.wait(30)
            write(file, record)

        monkeypatch.setattr(SharedLogFile, "emit", wait_and_write)


def test_lines_that_come_during_the_last_write_are_not_lost(background: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    handler = logging.getLogger().handlers[0]
    is_stopping = handler.writer._is_stopping  # type: ignore[attr-defined]  # noqa: SLF001 - else the test had to guess.
    structlog.get_logger().info("first")
    gate.is_reached.wait(30)
    structlog.get_logger().info("second")

    finishing = threading.Thread(target=logs.finish)
    finishing.start()
    # `finish()` asks the thread to end before it waits for it.
    wait_until(is_stopping.is_set)
    gate.is_open.set()
    finishing.join()

    assert [line["event"] for line in written(background)] == ["first", "second"]


def test_only_some_lines_wait_for_a_disk_that_hangs(background: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MOST_WAITING", 2)
    gate = Gate(monkeypatch)
    structlog.get_logger().info("first")
    gate.is_reached.wait(30)

    for number in range(5):
        structlog.get_logger().info("line", number=number)
    gate.is_open.set()
    logs.finish()

    assert [line.get("number") for line in written(background)] == [None, 0, 1, None]
    assert (written(background)[-1]["event"], written(background)[-1]["lines"]) == ("log_lines_lost", 3)


def test_a_wrong_log_line_of_a_library_does_not_disturb_the_library(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    logging.getLogger("some.library").warning("%d", "no number")
    logging.getLogger("some.library").warning("next", stack_info=True)

    (line,) = written(configured)
    assert line["event"] == "next"
    assert line["stack"].startswith("Stack (most recent call last)")
