"""Every job, declared once.

Celery's routes, its tasks and the schedule of beat are made from the declarations at the end of this module. The work
of a job is a function in `core.services` that is registered by a decorator:

    @jobs.NOTIFICATIONS_PURGE.work
    def purge_notifications(context: JobContext) -> int: ...

A message may get lost and a job may run twice. So the work to do is stored in PostgreSQL, and a message only makes a
worker look there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVarTuple

from redis import Redis

from core.config import Settings
from core.events import Event
from core.links import MailLinks
from core.smtp import SmtpServer
from core.storage import Storage
from core.weather import WeatherProvider

QUEUE_EVENTS: Final = "events"
QUEUE_WEATHER: Final = "weather"
QUEUE_MAIL: Final = "mail"
QUEUE_MAINTENANCE: Final = "maintenance"

Args = TypeVarTuple("Args")

Work = Callable[["JobContext", *Args], int | None]
"""The function of a job. It returns how much it has done: 0 for nothing, None if it does not report a number."""


class JobDeclarationError(RuntimeError):
    """A declared job has no work function, or two. This is a mistake in the code."""


class Job(Generic[*Args]):
    """A job: its name, the types of its arguments, its queue, and its interval in seconds (None: not periodic)."""

    def __init__(self, name: str, *, queue: str = QUEUE_MAINTENANCE, every: float | None = None) -> None:
        self.name: Final = name
        self.queue: Final = queue
        self.every: Final = every
        self._work: Work[*Args] | None = None
        self._condition: Callable[[JobContext], bool] | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name}>"

    def work(self, function: Work[*Args]) -> Work[*Args]:
        """Declare, as a decorator, the function that does the job."""
        if self._work is not None:
            raise JobDeclarationError(f"{self.name} has work already: {self._work}.")
        self._work = function
        return function

    def when(self, condition: Callable[["JobContext"], bool]) -> Callable[["JobContext"], bool]:
        """Declare, as a decorator, the function that returns whether a periodic job has anything to do.

        Beat calls it before it sends the job, so it must be cheap, for example one `SELECT EXISTS`.
        """
        self._condition = condition
        return condition

    def required_work(self) -> Work[*Args]:
        """Return the function that does the job.

        Raises:
            JobDeclarationError: if there is none.
        """
        if self._work is None:
            raise JobDeclarationError(f"{self.name} is declared, but no function of core.services is its work.")
        return self._work

    def has_something_to_do(self, context: "JobContext") -> bool:
        """Whether the job has anything to do; always true if the job has no condition."""
        return self._condition is None or self._condition(context)

    def request(self, *arguments: *Args) -> "JobRequest":
        """Return a request for this job with these arguments, which are sent as JSON."""
        return JobRequest(self.name, arguments)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job to send, with its arguments and the id of the HTTP request that caused it."""

    name: str
    arguments: tuple[Any, ...] = ()
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobContext:
    """The objects that the work of jobs needs; each worker process has one context.

    `dispatch` sends a request to the workers, `queue_length` returns how many messages wait in a queue.
    """

    settings: Settings
    redis: Redis
    weather: WeatherProvider
    storage: Storage
    mail_server: SmtpServer
    mail_links: MailLinks
    dispatch: Callable[[JobRequest], None]
    queue_length: Callable[[str], int]

    def send(self, job: Job[*Args], *arguments: *Args) -> None:
        """Send a job."""
        self.dispatch(job.request(*arguments))


Cause = Callable[[Event], Iterable[JobRequest]]
"""Returns the jobs that an event causes."""

_causes: dict[str, list[Cause]] = {}


def caused_by(*event_types: str) -> Callable[[Cause], Cause]:
    """Declare, as a decorator, the function that returns which jobs are caused by events of these types."""

    def register(cause: Cause) -> Cause:
        for event_type in event_types:
            _causes.setdefault(event_type, []).append(cause)
        return cause

    return register


def following_from(event: Event) -> Iterator[JobRequest]:
    """Return the jobs that an event causes, as the services have declared with `caused_by()`."""
    for cause in _causes.get(event.type, ()):
        yield from cause(event)


EVENTS_PUBLISH: Final = Job[()]("events.publish", queue=QUEUE_EVENTS, every=5)
EVENTS_PURGE: Final = Job[()]("events.purge", every=3600)
EVENTS_PARTITION: Final = Job[()]("events.partition", every=3600)
WEATHER_ENRICH: Final = Job[()]("weather.enrich", queue=QUEUE_WEATHER)
WEATHER_SWEEP: Final = Job[()]("weather.sweep", every=5)
WEATHER_JUDGE: Final = Job[()]("weather.judge", every=5)
WEATHER_RESCHEDULE: Final = Job[int, str]("weather.reschedule", queue=QUEUE_WEATHER)
FORECASTS_REFRESH: Final = Job[()]("forecasts.refresh", every=60)
FORECASTS_FOLLOW: Final = Job[int]("forecasts.follow")
REMINDERS_FIRE: Final = Job[()]("reminders.fire", every=5)
MAIL_SEND: Final = Job[()]("mail.send", queue=QUEUE_MAIL)
MAIL_SWEEP: Final = Job[()]("mail.sweep", every=5)
ACCOUNT_MAIL_SEND: Final = Job[int]("account_mail.send", queue=QUEUE_MAIL)
ACCOUNT_MAIL_SWEEP: Final = Job[()]("account_mail.sweep", every=5)
NOTIFICATIONS_PURGE: Final = Job[()]("notifications.purge", every=3600)
ANALYTICS_FOLD: Final = Job[()]("analytics.fold", every=10)
TOKENS_PURGE: Final = Job[()]("tokens.purge", every=600)
ATTACHMENTS_SWEEP: Final = Job[()]("attachments.sweep", every=60)
OPERATIONS_SAMPLE: Final = Job[()]("operations.sample", every=60)

ALL: Final = tuple(declared for declared in list(globals().values()) if isinstance(declared, Job))
QUEUES: Final = frozenset(job.queue for job in ALL)
