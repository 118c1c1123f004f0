"""Reports unexpected errors to a server that understands the protocol of Sentry, if `SENTRY_DSN` names one.

Every line of the log that has a traceback is a defect, and is reported, from every process. A report says where it
happened and of which class the error is. It contains no data of people: no values of variables, nothing of the request
but its id, and no text of an error, since PostgreSQL and Python quote values in theirs. What may be known of this is in
the log, where the id of the request finds it.
"""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from core import __version__
from core.config import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

# What a report has of the line: identifiers that the application itself has made.
_TAGS: Final = ("request_id", "trace_id", "job", "job_id", "route")
# How long a process that ends waits until its reports have been sent.
_FLUSH_SECONDS: Final = 2.0


class _Process:
    """Reports of this process; None if there is no server for them."""

    report: Callable[[BaseException, str, Mapping[str, Any]], None] | None = None
    flush: Callable[[], None] | None = None


def configure(settings: Settings, process: str) -> None:
    """Report errors from now on, if the settings name a server; `process` is the name of this process.

    The library is imported only then. Its own integrations are not used: they would add requests, arguments of the
    command line and lines of the log to reports.
    """
    if settings.sentry_dsn is None:
        _Process.report = _Process.flush = None
        return
    import sentry_sdk  # noqa: PLC0415 - see above.
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415 - see above.

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=f"allweather@{__version__}",
        environment=settings.app_env,
        default_integrations=False,
        auto_enabling_integrations=False,
        # The same error may be logged twice on its way.
        integrations=[DedupeIntegration()],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        before_send=_without_texts,
    )

    def report(error: BaseException, event: str, line: Mapping[str, Any]) -> None:
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("process", process)
            scope.set_tag("event", event)
            for name in _TAGS:
                if line.get(name) is not None:
                    scope.set_tag(name, str(line[name]))
            scope.capture_exception(error)

    def flush() -> None:
        sentry_sdk.flush(_FLUSH_SECONDS)

    _Process.report, _Process.flush = report, flush


def flush() -> None:
    """Send the reports that wait, before the process ends. This waits for at most two seconds."""
    if _Process.flush is not None:
        _Process.flush()


def report_line(_logger: Any, _level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Report the error of a line of our own, which has a name; a processor of structlog."""
    if _Process.report is not None and (error := _error_of(line.get("exc_info"))) is not None:
        _Process.report(error, str(line["event"]), line)
    return line


def report_record(record: logging.LogRecord, context: Mapping[str, Any]) -> None:
    """Report the error of a record of a library, by the name of its logger, because its text may contain anything.

    `context` has the values of the request or the job.
    """
    if _Process.report is not None and (error := _error_of(record.exc_info)) is not None:
        _Process.report(error, record.name, context)


def _error_of(exc_info: Any) -> BaseException | None:
    """Return the error that `exc_info` means, in the forms that the two logging libraries accept."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        error: BaseException | None = exc_info[1]
        return error
    return sys.exc_info()[1] if exc_info else None


def _without_texts(event: "Event", _hint: "Hint") -> "Event":
    """Remove the texts of the errors, and of those that caused them."""
    for error in event.get("exception", {}).get("values", ()):
        error["value"] = ""
    event.pop("breadcrumbs", None)
    return event
