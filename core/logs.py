"""Structured logs: one line for each request, change and job, to stdout and to a file that rotates.

Production writes JSON, development what a person can read. What ends up here is never a token, a password or a body;
the redaction is only the last line of defence.
"""

import atexit
import logging
import sys
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any, Final

import orjson
import structlog

from core.config import Settings
from core.logfile import SharedLogFile

_SECRET_WORDS: Final = ("password", "token", "secret", "authorization", "cookie", "ticket", "api_key")
_REDACTED: Final = "[redacted]"
# These would repeat what our own lines say, and with query strings that hold tickets and keys.
_QUIET_LOGGERS: Final = (
    "uvicorn.error",
    "uvicorn.access",
    "urllib3",
    "kombu",
    "amqp",
    "celery.app.trace",
    "celery.worker.strategy",
)


def configure(settings: Settings, process: str, *, in_background: bool = False) -> None:
    """Send all logs of this process to where the settings say; `process` is its name in every line.

    A process with an event loop writes `in_background`, by a thread that does not survive a fork; one that forks
    workers writes at once.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_process(process),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    writers = _writers(settings, shared)
    root = logging.getLogger()
    root.handlers = [_behind_a_queue(writers)] if in_background else writers
    root.setLevel(settings.log_level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _behind_a_queue(writers: list[logging.Handler]) -> logging.Handler:
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = QueueListener(queue, *writers)
    listener.start()
    atexit.register(listener.stop)
    return _Enqueue(queue)


class _Enqueue(QueueHandler):
    """Hand records over unformatted: the writers differ in their format."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def _writers(settings: Settings, shared: list[Any]) -> list[logging.Handler]:
    terminal = logging.StreamHandler(sys.stdout)
    terminal.setFormatter(_formatter(shared, readable=settings.is_development, colors=sys.stdout.isatty()))
    if not settings.log_file:
        return [terminal]
    file = SharedLogFile(settings.log_file, max_bytes=settings.log_file_bytes, backups=settings.log_file_backups)
    file.setFormatter(_formatter(shared, readable=False, colors=False))
    return [terminal, file]


def _formatter(shared: list[Any], *, readable: bool, colors: bool) -> logging.Formatter:
    render: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_to_json)]
    if readable:
        render = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )


def _to_json(line: Any, **_: Any) -> str:
    return orjson.dumps(line, default=repr).decode()


def _name_process(process: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["process"] = process
        return event

    return add


def redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank every value whose name speaks of a secret, however deep it lies."""
    return {key: _REDACTED if _is_secret(key) else _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _REDACTED if _is_secret(str(key)) else _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item) for item in value]
    return value


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)
