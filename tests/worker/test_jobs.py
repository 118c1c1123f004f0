"""What each job does when it runs, and what it leaves in the queues."""

from datetime import UTC, datetime
from typing import Any

import pytest
from kombu import Connection
from kombu.pools import producers
from redis import Redis
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from core import jobs
from core.config import Settings
from core.db import unit_of_work
from core.mail import Mailer
from core.policy import Actor
from core.services import reminders
from tests.builders import create_task
from tests.doubles.smtp import MailServer
from tests.sql import execute
from tests.worker.broker import NO_PATIENCE, job_names, messages


@pytest.fixture
def worker() -> Any:
    """The worker's modules, which read their settings when they are imported."""
    import worker.analytics  # noqa: PLC0415 - not before the environment is set.
    import worker.attachments  # noqa: PLC0415 - not before the environment is set.
    import worker.events  # noqa: PLC0415 - not before the environment is set.
    import worker.mail  # noqa: PLC0415 - not before the environment is set.
    import worker.notifications  # noqa: PLC0415 - not before the environment is set.
    import worker.reminders  # noqa: PLC0415 - not before the environment is set.
    import worker.tokens  # noqa: PLC0415 - not before the environment is set.
    import worker.weather  # noqa: PLC0415 - not before the environment is set.

    return worker


def test_publishing_sends_a_job_for_each_waiting_city_with_the_requests_id(
    alice: Actor, worker: Any, redis: Redis
) -> None:
    with bound_contextvars(request_id="the-request"):
        create_task(alice, city="London")

    assert worker.events.publish() == 1

    (message,) = messages(redis, jobs.QUEUE_WEATHER)
    assert message["headers"]["task"] == jobs.WEATHER_ENRICH
    assert message["headers"]["request_id"] == "the-request"


def test_a_job_that_changes_something_wakes_the_publisher(alice: Actor, worker: Any, redis: Redis) -> None:
    create_task(alice, city="London")
    redis.set("allweather:weather:open-meteo:london", b"null")

    worker.weather.enrich("london")

    assert job_names(redis, jobs.QUEUE_EVENTS) == [jobs.EVENTS_PUBLISH]


def test_a_job_that_changes_nothing_wakes_nobody(worker: Any, redis: Redis) -> None:
    worker.weather.enrich("nowhere")
    worker.analytics.fold()

    assert job_names(redis, jobs.QUEUE_EVENTS) == []


def test_the_sweep_sends_lost_jobs_again_but_not_into_a_long_queue(
    alice: Actor, worker: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.app._BACKLOG", 2)
    for city in ("London", "Paris", "Oslo"):
        create_task(alice, city=city)
    with unit_of_work():
        execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '1 minute'")

    worker.weather.sweep()
    worker.weather.sweep()

    assert job_names(redis, jobs.QUEUE_WEATHER) == [jobs.WEATHER_ENRICH] * 2


def test_folding_and_purging_do_their_work(alice: Actor, worker: Any) -> None:
    create_task(alice)
    with unit_of_work():
        execute("UPDATE sessions SET expires_at = now() - interval '1 s'")

    worker.analytics.fold()

    assert execute("SELECT sum(tasks) FROM analytics_rollups").fetchone() == (1,)
    assert worker.tokens.purge()["sessions"] == 1
    assert worker.events.purge() == 0


def test_a_long_backlog_of_deltas_is_folded_in_bounded_runs(
    alice: Actor, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.analytics._BATCH", 2)
    monkeypatch.setattr("worker.analytics._BATCHES", 2)
    for _ in range(5):
        create_task(alice)

    worker.analytics.fold()

    assert execute("SELECT count(*) FROM analytics_deltas").fetchone() == (1,)


def test_each_job_writes_one_line(worker: Any) -> None:
    with capture_logs() as lines:
        worker.tokens.purge()

    (line,) = lines
    assert (line["event"], line["outcome"]) == ("job", "done")
    assert line["duration_ms"] >= 0


def test_a_sweep_that_found_nothing_is_told_to_debuggers_only(alice: Actor, worker: Any) -> None:
    with capture_logs() as lines:
        worker.events.publish()
        create_task(alice)
        worker.events.publish()

    assert [line["log_level"] for line in lines if line["event"] == "job"] == ["debug", "info"]


def test_a_server_that_is_down_is_a_short_line_and_no_failure(
    worker: Any, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    nowhere = Redis.from_url(f"redis://127.0.0.1:{unused_tcp_port}/0")
    monkeypatch.setattr("worker.events.redis", nowhere)

    with capture_logs() as lines:
        assert worker.events.publish() is None

    assert [(line["event"], line.get("outcome")) for line in lines] == [
        ("dependency_unavailable", None),
        ("job", "put_off"),
    ]
    assert "exc_info" not in lines[0]


@pytest.fixture
def no_broker(worker: Any, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """Nobody listens where messages are sent."""
    nowhere = Connection(f"redis://127.0.0.1:{unused_tcp_port}/0", transport_options=NO_PATIENCE)
    monkeypatch.setattr(worker.app.app.amqp, "_producer_pool", producers[nowhere])


@pytest.mark.usefixtures("no_broker")
def test_a_broker_that_is_down_is_a_short_line_too(alice: Actor, worker: Any) -> None:
    create_task(alice, city="London")

    with capture_logs() as lines:
        assert worker.events.publish() is None

    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["dependency_unavailable"]
    assert lines[-1]["outcome"] == "put_off"


@pytest.mark.usefixtures("no_broker")
def test_a_job_is_done_though_the_publisher_cannot_be_woken(alice: Actor, worker: Any, redis: Redis) -> None:
    create_task(alice, city="London")
    redis.set("allweather:weather:open-meteo:london", b"null")

    with capture_logs() as lines:
        worker.weather.enrich("london")

    assert [line["outcome"] for line in lines if line["event"] == "job"] == ["done"]
    assert execute("SELECT weather_status FROM tasks").fetchone() == ("unavailable",)


def test_a_mistake_is_not_hidden(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr("core.services.retention.purge_tokens", fail)

    with capture_logs() as lines, pytest.raises(LookupError):
        worker.tokens.purge()

    assert lines[-1]["outcome"] == "failed"


def test_reminders_are_fired_and_their_mails_sent_by_jobs(
    alice: Actor, worker: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch, settings: Settings, unused_tcp_port: int
) -> None:
    task_id = create_task(alice)
    reminders.create_reminder(alice, task_id, datetime(2026, 1, 1, tzinfo=UTC), None)

    assert worker.reminders.fire() == 1
    worker.events.publish()
    (message,) = messages(redis, jobs.QUEUE_MAIL)
    (notification_id,) = execute("SELECT id FROM notifications").fetchone()
    assert message["headers"]["task"] == jobs.MAIL_SEND

    with MailServer(unused_tcp_port) as server:
        configured = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "smtp_security": "none"}
        monkeypatch.setattr(worker.mail, "_mailer", Mailer(settings.model_copy(update=configured)))
        worker.mail.send(notification_id)
        worker.mail.send(notification_id)
    assert [mail["Subject"] for mail in server.mails] == ["A reminder of the task “Clean the gutters”."]


def test_the_sweep_finds_mails_whose_job_was_lost_and_forgets_them_without_a_server(
    alice: Actor, bob: Actor, worker: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    create_task(alice, assignee_id=bob.user_id)
    with unit_of_work():
        execute("UPDATE notifications SET mail_next_attempt_at = now() - interval '1 minute'")

    with monkeypatch.context() as patch:
        patch.setattr(worker.mail, "_mailer", Mailer(settings.model_copy(update={"smtp_host": "127.0.0.1"})))
        worker.mail.sweep()
    assert job_names(redis, jobs.QUEUE_MAIL) == [jobs.MAIL_SEND]

    worker.mail.sweep()
    assert execute("SELECT mail_status FROM notifications").fetchall() == [(None,)]


def test_every_name_has_a_job_and_every_job_a_queue_that_is_served(worker: Any) -> None:
    from worker.app import app  # noqa: PLC0415 - not before the environment is set.

    declared = {value for name, value in vars(jobs).items() if name.isupper() and not name.startswith("QUEUE_")}
    queues = {value for name, value in vars(jobs).items() if name.startswith("QUEUE_")}
    registered = {name for name in app.tasks if not name.startswith("celery.")}
    routed = {app.amqp.router.route({}, name)["queue"].name for name in declared}

    assert registered == declared
    assert routed <= queues
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= declared
    assert all(entry["options"]["expires"] <= entry["schedule"] for entry in app.conf.beat_schedule.values())


def test_the_broker_hands_no_job_out_twice_while_it_may_still_run(worker: Any) -> None:
    from worker.app import app  # noqa: PLC0415 - not before the environment is set.

    assert (
        app.conf.broker_transport_options["visibility_timeout"]
        > app.conf.task_time_limit
        > app.conf.task_soft_time_limit
    )
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
    assert app.conf.worker_prefetch_multiplier == 1


def test_a_job_that_killed_its_process_is_started_again_soon_and_not_for_ever(worker: Any) -> None:
    from worker.app import app  # noqa: PLC0415 - not before the environment is set.

    for job in (app.tasks[name] for name in app.tasks if not name.startswith("celery.")):
        assert job.retry_on_worker_lost
        assert job.default_retry_delay < app.conf.broker_transport_options["visibility_timeout"]
        assert 0 < job.max_retries < 10
