"""The numbers that processes count about themselves, each declared once.

Every process counts, whether or not the numbers are exported, because this costs less than a microsecond each time.
`core.metrics.export` exports them. What stands in PostgreSQL and Redis is not counted but looked up: `core.backlog`.
"""

from typing import Final

from core.metrics.kinds import DECLARED, Counter, Gauge, Histogram, count_in, memory, sample
from core.metrics.memory import Memory

__all__ = ["DECLARED", "Counter", "Gauge", "Histogram", "Memory", "count_in", "memory", "sample"]

_REQUEST_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SHORT_BOUNDS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
_JOB_BOUNDS: Final = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 45.0)

REQUEST_SECONDS: Final = Histogram(
    "allweather_http_request_duration_seconds",
    "Requests that the application has served, by the template of their route.",
    ("method", "route", "status"),
    bounds=_REQUEST_BOUNDS,
)
REQUESTS_UNDER_WAY: Final = Gauge(
    "allweather_http_requests_under_way", "Requests that are worked on; those that wait for their client do not count."
)
OVERLOAD_REFUSALS: Final = Counter(
    "allweather_overload_refusals_total", "Requests refused with 503, by the part that has too much to do.", ("part",)
)
CONNECTION_REFUSALS: Final = Counter(
    "allweather_connection_refusals_total", "Requests refused before the application has seen them.", ("status",)
)
RATE_LIMIT_REFUSALS: Final = Counter(
    "allweather_rate_limit_refusals_total", "Requests and handshakes beyond a rate limit.", ("limit",)
)
THREADS: Final = Gauge("allweather_threads", "How many threads a pool may have.", ("pool",))
THREADS_BUSY: Final = Gauge("allweather_threads_busy", "Calls that run in a thread of a pool.", ("pool",))
CALLS_WAITING: Final = Gauge("allweather_thread_calls_waiting", "Calls that wait for a thread of a pool.", ("pool",))
LOOP_DELAY: Final = Histogram(
    "allweather_event_loop_delay_seconds",
    "By how much the event loop was late for a timer, measured every second.",
    bounds=_SHORT_BOUNDS,
)
SOCKETS_OPEN: Final = Gauge("allweather_sockets_open", "WebSockets that get events.")
SOCKETS_CLOSED: Final = Counter(
    "allweather_sockets_closed_total", "WebSockets that have ended, by the close code; 4408 is too slow.", ("code",)
)
FRAMES_SENT: Final = Counter("allweather_event_frames_total", "Events given to sockets, once for each socket.")
FAN_OUT_SECONDS: Final = Histogram(
    "allweather_event_fan_out_seconds", "The time to give one event to all its sockets.", bounds=_SHORT_BOUNDS
)
UPLOADED_BYTES: Final = Counter("allweather_attachment_uploaded_bytes_total", "Bytes of files that were attached.")

JOB_SECONDS: Final = Histogram(
    "allweather_job_duration_seconds",
    "Jobs that have ended; the outcome is done, failed, or put_off while a server cannot be reached.",
    ("name", "outcome"),
    bounds=_JOB_BOUNDS,
)
JOBS_RUNNING: Final = Gauge("allweather_jobs_running", "Jobs that are running.", ("name",))
MAILS: Final = Counter(
    "allweather_mails_total",
    "Attempts to send a mail; the outcome is sent, put_off (tried again), given_up, or capped.",
    ("outcome",),
)
PROVIDER_SECONDS: Final = Histogram(
    "allweather_provider_request_duration_seconds",
    "Requests to weather providers; the outcome is ok, absent or unavailable.",
    ("provider", "outcome"),
    bounds=_REQUEST_BOUNDS,
)

JOB_OUTCOMES: Final = ("done", "failed", "put_off")
MAIL_OUTCOMES: Final = ("sent", "put_off", "given_up", "capped")

BEAT_LEADS: Final = Gauge("allweather_beat_leads", "1 if this beat sends the periodic jobs, 0 if it stands by.")
