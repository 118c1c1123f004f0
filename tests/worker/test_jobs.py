"""What each job does when it runs, and which jobs it sends."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.signals import worker_process_shutdown
from kombu import Connection
from kombu.pools import producers
from redis import Redis
from structlog.testing import capture_logs

from core import error_reports, jobs
from core.activity import ACTIVITY
from core.config import Settings
from core.db import unit_of_work
from core.jobs import Args, Job, JobDeclarationError
from core.log_context import bound_to_log
from core.policy import Actor
from core.services import measures, operations, reminders
from core.smtp import SmtpServer
from tests.builders import create_task
from tests.doubles.smtp import MailServer
from tests.sql import execute
from tests.worker.broker import FAIL_FAST, job_names, messages


@pytest.fixture
def worker() -> Any:
    """The module of the worker, which reads its settings when it is imported."""
    import worker.app  # noqa: PLC0415 - the module reads the environment.

    return worker.app


def run(worker: Any, job: Job[*Args], *arguments: *Args) -> Any:
    """Run a job in this process, as a worker does with a message."""
    return worker.app.tasks[job.name](*arguments)


@pytest.fixture
def replace_context(worker: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that replaces parts of the job context."""
    return lambda **parts: monkeypatch.setattr(worker, "context", replace(worker.context, **parts))


def test_publishing_sends_a_job_for_a_waiting_city_with_the_request_id(alice: Actor, worker: Any, redis: Redis) -> None:
    with bound_to_log(request_id="the-request"):
        create_task(alice, city="London")

    assert run(worker, jobs.EVENTS_PUBLISH) == 1

    (message,) = messages(redis, jobs.QUEUE_WEATHER)
    assert message["headers"]["task"] == jobs.WEATHER_ENRICH.name
    assert message["headers"]["request_id"] == "the-request"


def test_a_job_that_records_events_sends_the_publishing_job(alice: Actor, worker: Any, redis: Redis) -> None:
    create_task(alice, city="London")
    execute("INSERT INTO place_names (key, place_ids) VALUES ('london', '{}')")

    run(worker, jobs.WEATHER_ENRICH)

    assert job_names(redis, jobs.QUEUE_EVENTS) == [jobs.EVENTS_PUBLISH.name]


def test_a_job_that_records_no_events_sends_no_publishing_job(worker: Any, redis: Redis) -> None:
    run(worker, jobs.WEATHER_ENRICH)
    run(worker, jobs.ANALYTICS_FOLD)

    assert job_names(redis, jobs.QUEUE_EVENTS) == []


def test_the_sweep_sends_lost_jobs_again_up_to_the_queue_limit(
    alice: Actor, worker: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.retries._WAITING_TURNS", 2)
    for city in ("London", "Paris", "Oslo"):
        create_task(alice, city=city)
    with unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '1 minute'")

    run(worker, jobs.WEATHER_SWEEP)
    run(worker, jobs.WEATHER_SWEEP)

    assert job_names(redis, jobs.QUEUE_WEATHER) == [jobs.WEATHER_ENRICH.name] * 2


def test_folding_and_purging_change_their_tables(alice: Actor, worker: Any) -> None:
    create_task(alice)
    with unit_of_work():
        execute("UPDATE sessions SET expires_at = now() - interval '1 s'")

    run(worker, jobs.ANALYTICS_FOLD)

    assert execute("SELECT sum(tasks) FROM analytics_rollups").fetchone() == (1,)
    assert run(worker, jobs.TOKENS_PURGE) == 1
    assert run(worker, jobs.EVENTS_PURGE) == 0


def test_a_long_backlog_of_deltas_is_folded_in_bounded_runs(
    alice: Actor, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.analytics._BATCH", 2)
    monkeypatch.setattr("core.services.analytics._BATCHES", 2)
    for _ in range(5):
        create_task(alice)

    run(worker, jobs.ANALYTICS_FOLD)

    assert execute("SELECT count(*) FROM analytics_deltas").fetchone() == (1,)


def test_each_job_writes_one_line(worker: Any) -> None:
    with capture_logs() as lines:
        run(worker, jobs.TOKENS_PURGE)

    (line,) = lines
    assert (line["event"], line["outcome"]) == ("job", "done")
    assert line["duration_ms"] >= 0


def test_a_run_without_work_is_logged_at_debug_level(alice: Actor, worker: Any) -> None:
    with capture_logs() as lines:
        run(worker, jobs.EVENTS_PUBLISH)
        create_task(alice)
        run(worker, jobs.EVENTS_PUBLISH)

    assert [line["log_level"] for line in lines if line["event"] == "job"] == ["debug", "info"]


def test_an_unavailable_redis_is_logged_without_traceback_and_does_not_fail(
    worker: Any, replace_context: Callable[..., None], unused_tcp_port: int
) -> None:
    replace_context(redis=Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port}/0"))

    with capture_logs() as lines:
        assert run(worker, jobs.EVENTS_PUBLISH) is None

    assert [(line["event"], line.get("outcome")) for line in lines] == [
        ("dependency_unavailable", None),
        ("job", "put_off"),
    ]
    assert "exc_info" not in lines[0]


@pytest.fixture
def no_broker(worker: Any, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """Make the broker unreachable: no process listens on its port."""
    nowhere = Connection(f"redis://127.0.0.1:{unused_tcp_port}/0", transport_options=FAIL_FAST)
    monkeypatch.setattr(worker.app.amqp, "_producer_pool", producers[nowhere])


@pytest.mark.usefixtures("no_broker")
def test_an_unavailable_broker_is_logged_as_one_warning(alice: Actor, worker: Any) -> None:
    create_task(alice, city="London")

    with capture_logs() as lines:
        assert run(worker, jobs.EVENTS_PUBLISH) is None

    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["dependency_unavailable"]
    assert lines[-1]["outcome"] == "put_off"


@pytest.mark.usefixtures("no_broker")
def test_a_job_is_done_even_if_the_publishing_job_cannot_be_sent(alice: Actor, worker: Any, redis: Redis) -> None:
    create_task(alice, city="London")
    execute("INSERT INTO place_names (key, place_ids) VALUES ('london', '{}')")

    with capture_logs() as lines:
        run(worker, jobs.WEATHER_ENRICH)

    assert [line["outcome"] for line in lines if line["event"] == "job"] == ["done"]
    assert execute("SELECT weather_status FROM tasks").fetchone() == ("unavailable",)


def test_an_unexpected_error_is_raised_and_logged(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("core.services.retention._in_batches", fail)

    with capture_logs() as lines, pytest.raises(LookupError):
        run(worker, jobs.TOKENS_PURGE)

    assert lines[-1]["outcome"] == "failed"


def test_reminders_are_fired_and_their_mails_sent_by_jobs(
    alice: Actor,
    worker: Any,
    redis: Redis,
    replace_context: Callable[..., None],
    settings: Settings,
    unused_tcp_port: int,
) -> None:
    task_id = create_task(alice)
    reminders.create_reminder(alice, task_id, datetime(2026, 1, 1, tzinfo=UTC), None)

    assert run(worker, jobs.REMINDERS_FIRE) == 1
    run(worker, jobs.EVENTS_PUBLISH)
    (message,) = messages(redis, jobs.QUEUE_MAIL)
    assert message["headers"]["task"] == jobs.MAIL_SEND.name

    with MailServer(unused_tcp_port) as server:
        replace_context(mail_server=SmtpServer(settings.model_copy(update=server.settings)))
        assert [run(worker, jobs.MAIL_SEND), run(worker, jobs.MAIL_SEND)] == [1, 0]
    assert [mail["Subject"] for mail in server.mails] == ["A reminder of the task “Clean the gutters”."]


def test_the_mail_sweep_sends_lost_jobs_or_cancels_mails_without_a_server(
    alice: Actor, bob: Actor, worker: Any, redis: Redis, replace_context: Callable[..., None], settings: Settings
) -> None:
    create_task(alice, assignee_id=bob.user_id)
    with unit_of_work():
        execute("UPDATE notifications SET mail_next_attempt_at = now() - interval '1 minute'")

    replace_context(mail_server=SmtpServer(settings.model_copy(update={"smtp_host": "127.0.0.1"})))
    run(worker, jobs.MAIL_SWEEP)
    assert job_names(redis, jobs.QUEUE_MAIL) == [jobs.MAIL_SEND.name]

    replace_context(mail_server=SmtpServer(settings))
    run(worker, jobs.MAIL_SWEEP)
    assert execute("SELECT mail_status FROM notifications").fetchall() == [(None,)]


def test_celery_has_a_task_a_queue_and_a_schedule_for_each_job(worker: Any) -> None:
    app = worker.app
    registered = {name for name in app.tasks if not name.startswith("celery.")}
    routes = {job.name: app.amqp.router.route({}, job.name)["queue"].name for job in jobs.ALL}
    timetable = {entry["task"]: entry["schedule"] for entry in app.conf.beat_schedule.values()}

    assert registered == {job.name for job in jobs.ALL}
    assert routes == {job.name: job.queue for job in jobs.ALL}
    assert timetable == {job.name: job.every for job in jobs.ALL if job.every is not None}
    assert all(entry["options"]["expires"] <= entry["schedule"] for entry in app.conf.beat_schedule.values())


def test_a_job_without_a_work_function_cannot_be_registered(worker: Any) -> None:
    with pytest.raises(JobDeclarationError, match=r"tasks\.archive"):
        worker.register(Job[()]("tasks.archive"))


def test_the_broker_does_not_redeliver_a_job_that_may_still_run(worker: Any) -> None:
    conf = worker.app.conf

    assert conf.broker_transport_options["visibility_timeout"] > conf.task_time_limit > conf.task_soft_time_limit
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1


def test_a_job_that_killed_its_process_is_retried_a_limited_number_of_times(worker: Any) -> None:
    for task in (worker.app.tasks[job.name] for job in jobs.ALL):
        assert task.retry_on_worker_lost
        assert task.default_retry_delay < worker.app.conf.broker_transport_options["visibility_timeout"]
        assert 0 < task.max_retries < 10


def test_a_job_is_counted_with_its_outcome(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise LookupError

    ACTIVITY.take()
    run(worker, jobs.TOKENS_PURGE)
    monkeypatch.setattr(worker.app.tasks[jobs.TOKENS_PURGE.name], "run", fail)
    pytest.raises(LookupError, run, worker, jobs.TOKENS_PURGE)

    tally = ACTIVITY.take()["job", "tokens.purge"]
    assert (tally.number, tally.failed, sum(tally.classes)) == (2, 1, 2)


def test_the_age_of_the_oldest_message_is_known(worker: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.app.send_task(jobs.MAIL_SEND.name)
    now = time.time()
    monkeypatch.setattr(measures.time, "time", lambda: now + 60)
    worker.app.send_task(jobs.MAIL_SEND.name)

    queues = {queue.name: queue for queue in operations.read_queues(redis) or ()}

    assert (queues["mail"].length, queues["events"].oldest_seconds) == (2, None)
    assert queues["mail"].oldest_seconds == pytest.approx(60, abs=5)


def test_a_process_that_ends_sends_its_reports_of_errors_first(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bool] = []
    monkeypatch.setattr(error_reports, "flush", lambda: flushed.append(True))

    worker_process_shutdown.send(sender=None, pid=0, exitcode=0)

    assert flushed == [True]
