"""Structured logs: one line for each request, change and job, to stdout and to a file that rotates.

Production writes JSON, development writes a format for people. Code must never log a token, a password or a body. The
redaction here is only an additional protection against mistakes.
"""

import atexit
import logging
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any, Final

import orjson
import structlog

from core.config import Settings
from core.logfile import SharedLogFile

_SECRET_WORDS: Final = ("password", "token", "secret", "authorization", "cookie", "ticket", "api_key")
_REDACTED: Final = "[redacted]"
# Attributes that are added to a log record before it is written.
_CONTEXT: Final = "allweather_context"
_RENDERED: Final = "allweather_rendered"
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
    "celery.app.trace",
    "celery.worker.strategy",
)


def configure(settings: Settings, process: str, *, in_background: bool = False) -> None:
    """Write all logs of this process as the settings say; `process` is its name in every line.

    With `in_background` a thread writes the logs, so that writing does not block an event loop. A process that forks
    must not use this, since the thread does not exist in the forked process.
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
    root.handlers = [_InBackground(writers)] if in_background else writers
    root.setLevel(settings.log_level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def finish() -> None:
    """Write all lines that still wait for the background thread, and write later lines directly.

    Uvicorn ends its process with the signal that it received. Then no exit handlers run, so the caller must call this.
    """
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, _InBackground):
            root.handlers = handler.writers
            handler.stop()


atexit.register(finish)


class _InBackground(QueueHandler):
    """Passes records to a thread, without formatting them, since each writer has its own format."""

    def __init__(self, writers: list[logging.Handler]) -> None:
        queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
        super().__init__(queue)
        self.writers = writers
        self._listener = QueueListener(queue, *writers)
        self._listener.start()

    def stop(self) -> None:
        """Wait until all records that were passed to the thread have been written."""
        self._listener.stop()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Store the context variables in the record, since the thread that writes it cannot read them."""
        vars(record)[_CONTEXT] = structlog.contextvars.get_contextvars()
        return record


def _writers(settings: Settings, shared: list[Any]) -> list[logging.Handler]:
    as_json = _json_formatter(shared)
    terminal = logging.StreamHandler(sys.stdout)
    terminal.setFormatter(_readable_formatter(shared) if settings.is_development else as_json)
    if not settings.log_file:
        return [terminal]
    file = SharedLogFile(settings.log_file, max_bytes=settings.log_file_bytes, backups=settings.log_file_backups)
    file.setFormatter(as_json)
    return [terminal, file]


def _json_formatter(shared: list[Any]) -> logging.Formatter:
    return _RenderedOnce(
        foreign_pre_chain=[_merge_noted_context, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_to_json),
        ],
    )


def _readable_formatter(shared: list[Any]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_merge_noted_context, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
    )


class _RenderedOnce(structlog.stdlib.ProcessorFormatter):
    """Renders a line once for all writers that share this formatter; rendering is the slowest part of logging."""

    def format(self, record: logging.LogRecord) -> str:
        rendered: str | None = getattr(record, _RENDERED, None)
        if rendered is None:
            rendered = vars(record)[_RENDERED] = super().format(record)
        return rendered


def _merge_noted_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    return {**event, **getattr(event["_record"], _CONTEXT, {})}


def _to_json(line: Any, **_: Any) -> str:
    return orjson.dumps(line, default=repr).decode()


def _name_process(process: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["process"] = process
        return event

    return add


def redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace every value whose name suggests a secret, also in nested values."""
    return {key: _REDACTED if _is_secret(key) else _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _REDACTED if _is_secret(str(key)) else _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _SECRET_WORDS)
