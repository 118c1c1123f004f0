"""Structured logs: one line for each request, change and job, to stdout and to a file that rotates.

Production writes JSON, development writes a format for people. Code must never log a token, a password or a body. The
redaction is only an additional protection against mistakes (`core.redaction`).

A line is a dictionary until it is written. In a web process a thread renders and writes the lines that have been
collected for some milliseconds all together. A thread that was woken for every line would interrupt the event loop each
time.
"""

import atexit
import json
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from select import PIPE_BUF
from time import time
from typing import Any, Final, TextIO, TypeVar

import orjson
import structlog

from core import error_reports
from core.config import Settings
from core.log_context import log_context
from core.logfile import SharedLogFile
from core.redaction import redact

Line = MutableMapping[str, Any]
_Render = Callable[[Line], str]
_Result = TypeVar("_Result")

# These loggers would repeat the content of our own lines, together with query strings that contain tickets and keys, or
# write the values of statements, among them addresses and hashes of passwords.
_QUIET_LOGGERS: Final = (
    "celery.beat",
    "uvicorn.error",
    "uvicorn.access",
    "urllib3",
    "peewee",
    "kombu",
    "amqp",
    "celery.worker.strategy",
)
_COLLECT_SECONDS: Final = 0.01
# How many lines may wait for the thread. A busy process makes as many in some seconds, and they take some 30 MB.
_MOST_WAITING: Final = 20_000


def configure(settings: Settings, process: str, *, in_background: bool = False) -> None:
    """Write all logs of this process as the settings say; `process` is its name in every line.

    With `in_background` a thread writes the logs, so that writing does not block an event loop. A process that forks
    must not use this, since the thread does not exist in the forked process.
    """
    error_reports.configure(settings, process)
    writer = _Writer(_outputs(settings), process)
    handler = _LibraryLines(_BackgroundWriter(writer) if in_background else writer)
    structlog.configure(
        processors=[_complete, error_reports.report_line, structlog.processors.format_exc_info],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=lambda *_: _Logger(handler),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    # The line `job` has the error of a job, with the ids of the job and of the request.
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)


def finish() -> None:
    """Write all lines and send all reports that still wait for background threads, and write later lines directly.

    Uvicorn ends its process with the signal that it received. Then no exit handlers run, so the caller must call this.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _LibraryLines) and isinstance(handler.writer, _BackgroundWriter):
            background = handler.writer
            # This comes first, so that no line of another thread is put where nobody writes it any more.
            handler.writer = background.writer
            background.stop()
    error_reports.flush()


atexit.register(finish)


class _Writer:
    """Renders lines and writes them to all outputs. An output is a handler with the function that renders its lines."""

    def __init__(self, outputs: Sequence[tuple[logging.Handler, _Render]], process: str) -> None:
        self._outputs = outputs
        self._process = process

    def put(self, line: Line) -> None:
        """Write a line."""
        self.write([line])

    def write(self, lines: Sequence[Line]) -> None:
        """Write lines, rendered only once for outputs with the same format, with one write to each output."""
        complete = [_or_substitute(self._completed, line) for line in lines]
        for render, outputs in groupby(self._outputs, itemgetter(1)):
            text = "\n".join(_or_substitute(render, line) for line in complete)
            record = logging.LogRecord(__name__, logging.INFO, __file__, 0, text, None, None)
            for handler, _ in outputs:
                handler.handle(record)

    def close(self) -> None:
        """Close the outputs."""
        for handler, _ in self._outputs:
            handler.close()

    def _completed(self, line: Line) -> Line:
        return redact({**line, "timestamp": _instant(line["timestamp"]), "process": self._process})


def _or_substitute(function: Callable[[Line], _Result], line: Line) -> _Result:
    """Return the result of a function for a line, or if it fails, for a line that has only the simple values.

    The values of a line may be of any class, and may change while they are read. One of them must not prevent the other
    lines from being written, nor end the thread that writes them.
    """
    try:
        return function(line)
    except Exception as error:  # noqa: BLE001 - a line says what has failed.
        simple = {key: value for key, value in line.items() if isinstance(value, str | int | float)}
        return function({**simple, "unwritable": type(error).__name__})


class _Terminal(logging.StreamHandler[TextIO]):
    """Writes lines to stdout, which may be a pipe that several processes write to.

    A pipe keeps a write together only up to `PIPE_BUF` bytes, so lines are written in pieces that are not longer. Only
    a line that is longer itself, such as a traceback, may be mixed with others.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the lines of a record."""
        try:
            for piece in _pieces(record.getMessage()):
                self.stream.write(piece)
                self.stream.flush()
        # A text that the terminal's encoding lacks is a `ValueError`, and so is a stream that was closed.
        except (OSError, ValueError):
            self.handleError(record)


def _pieces(text: str) -> Iterator[str]:
    """Divide a text between its lines into pieces of at most `PIPE_BUF` bytes; a longer line is a piece of its own."""
    piece, size = "", 0
    for line in text.split("\n"):
        length = len(line.encode(errors="replace")) + 1
        if piece and size + length > PIPE_BUF:
            yield piece
            piece, size = "", 0
        piece, size = f"{piece}{line}\n", size + length
    yield piece


class _BackgroundWriter:
    """Lets a thread write the lines that were put here."""

    def __init__(self, writer: _Writer) -> None:
        self.writer: Final = writer
        self._lines: deque[Line] = deque()
        self._lost = 0
        self._has_lines = threading.Event()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Write a line soon, unless very many wait: otherwise, while a disk hangs, they would use up the memory."""
        if len(self._lines) >= _MOST_WAITING:
            self._lost += 1
            return
        self._lines.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def stop(self) -> None:
        """Wait until all lines have been written."""
        self._is_stopping.set()
        self._has_lines.set()
        self._thread.join()
        # These came while the thread was writing the last ones.
        self._write_waiting()

    def close(self) -> None:
        """Write what waits, and close the outputs."""
        self.stop()
        self.writer.close()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            self._has_lines.wait()
            self._is_stopping.wait(_COLLECT_SECONDS)
            self._has_lines.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        lost, self._lost = self._lost, 0
        if lost:
            lines.append(_complete(None, "error", {"event": "log_lines_lost", "lines": lost}))
        if lines:
            self.writer.write(lines)


class _LibraryLines(logging.Handler):
    """Takes what libraries log through the standard library, and holds the writer of this process."""

    def __init__(self, writer: _Writer | _BackgroundWriter) -> None:
        super().__init__()
        self.writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Make a line of a record. A mistake in the record is told on stderr, as by all handlers."""
        try:
            error_reports.report_record(record, log_context())
            line = _complete(None, record.levelname.lower(), {"event": record.getMessage()})
            if record.exc_info:
                line["exception"] = logging.Formatter().formatException(record.exc_info)
            if record.stack_info:
                line["stack"] = record.stack_info
        except Exception:  # noqa: BLE001 - otherwise the caller, a library, would fail because of its log line.
            self.handleError(record)
        else:
            self.writer.put(line)

    def close(self) -> None:
        """Close the outputs."""
        self.writer.close()
        super().close()


class _Logger:
    """What structlog gives a line to when its processors have completed it."""

    def __init__(self, handler: _LibraryLines) -> None:
        self._handler = handler

    def msg(self, /, **line: Any) -> None:
        """Write a line."""
        self._handler.writer.put(line)

    debug = info = warning = error = critical = exception = msg


def _complete(_logger: Any, level: str, line: Line) -> Line:
    """Add the values of the request or the job, the level and the time, as seconds, to a line."""
    return {**log_context(), **line, "level": level, "timestamp": time()}


def _outputs(settings: Settings) -> list[tuple[logging.Handler, _Render]]:
    terminal = _Terminal(sys.stdout)
    terminal_format: _Render = _readable if settings.is_development else _as_json
    if not settings.log_file:
        return [(terminal, terminal_format)]
    file = SharedLogFile(settings.log_file, max_bytes=settings.log_file_bytes, backups=settings.log_file_backups)
    return [(terminal, terminal_format), (file, _as_json)]


def _as_json(line: Line) -> str:
    try:
        return orjson.dumps(line, default=repr).decode()
    except TypeError:
        # Text that is no valid Unicode, or a key that is no text. The slower library writes these too.
        return json.dumps(line, default=repr, skipkeys=True)


_render_for_people: Final = structlog.dev.ConsoleRenderer(
    colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
)


def _readable(line: Line) -> str:
    return str(_render_for_people(None, line["level"], {**line}))


def _instant(seconds: float) -> str:
    microseconds = round(seconds * 1_000_000)
    return f"{_second(microseconds // 1_000_000)}.{microseconds % 1_000_000:06}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Return the text of a second, which many lines have in common."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
