"""The work that waits, as numbers and as metrics."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from redis import Redis
from redis.exceptions import RedisError

from core import backlog, jobs
from core.backlog import BacklogMetrics
from core.policy import Actor
from core.services import weather
from tests.builders import create_task
from tests.forecasts import create_place, forecast
from tests.sql import execute

CALLS_PER_DAY = 100


def exported(metrics: BacklogMetrics) -> list[str]:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode().splitlines()


def test_the_backlog_is_empty_if_nothing_waits(database: None) -> None:
    nothing = backlog.Backlog(0, 0.0)

    assert backlog.unpublished_events() == nothing
    assert [backlog.due_work(name) for name in backlog.DUE_WORK] == [nothing] * len(backlog.DUE_WORK)
    assert [backlog.waiting_work(work) for work in backlog.WORK.values()] == [nothing] * len(backlog.WORK)
    assert backlog.unfolded_changes() == 0


def test_an_event_without_a_number_is_unpublished_since_it_was_recorded(alice: Actor) -> None:
    create_task(alice)
    execute("UPDATE events SET at = at - interval '1 hour'")

    unpublished = backlog.unpublished_events()

    assert unpublished.waiting == 1
    assert 3600 <= unpublished.oldest_seconds < 3700
    assert backlog.unfolded_changes() > 0


def test_work_that_waits_for_its_next_attempt_is_not_late(alice: Actor) -> None:
    create_task(alice, city="Oslo")
    execute("UPDATE tasks SET weather_next_attempt_at = now() + interval '1 hour'")

    assert backlog.waiting_work(weather.WAITING) == backlog.Backlog(1, 0.0)


def test_work_that_is_due_is_late_since_its_next_attempt_was_due(alice: Actor) -> None:
    create_task(alice, city="Oslo")
    create_task(alice, city="Paris")
    execute("UPDATE tasks SET weather_next_attempt_at = now() - interval '1 minute' WHERE city = 'Oslo'")

    waiting = backlog.waiting_work(weather.WAITING)

    assert waiting.waiting == 2
    assert 60 <= waiting.oldest_seconds < 120


def test_a_reminder_is_late_until_it_was_fired(alice: Actor) -> None:
    task_id = create_task(alice)
    execute(
        "INSERT INTO reminders (task_id, user_id, remind_at, fires_at)"
        " VALUES (%s, %s, now(), now() - interval '1 minute')",
        (task_id, alice.user_id),
    )
    assert backlog.due_work("reminder").waiting == 1

    execute("UPDATE reminders SET fired_at = now()")

    assert backlog.due_work("reminder").waiting == 0


@pytest.mark.parametrize("name", backlog.WORK)
def test_the_work_that_waits_is_counted_with_an_index(database: None, name: str) -> None:
    work = backlog.WORK[name]
    statement = backlog.waiting_statement(work)
    execute("SET enable_seqscan = off")

    plan = "\n".join(line for (line,) in execute(f"EXPLAIN {statement}", {"most": 10}).fetchall())

    execute("RESET enable_seqscan")
    assert "Seq Scan" not in plan


def test_a_task_waits_to_be_judged_since_it_was_marked(alice: Actor) -> None:
    task_id = create_task(alice)
    execute("UPDATE tasks SET weather_judge_at = now() - interval '1 minute' WHERE id = %s", (task_id,))

    judgement = backlog.due_work("judgement")

    assert judgement.waiting == 1
    assert 60 <= judgement.oldest_seconds < 120


@pytest.mark.parametrize(("nearest", "waiting"), [("1 day", 1), ("-1 day", 0)])
def test_a_forecast_waits_if_a_deadline_is_ahead(database: None, nearest: str, waiting: int) -> None:
    create_place("Oslo", forecast())
    execute(
        "UPDATE forecasts SET refresh_at = now() - interval '1 minute', nearest_due_at = now() + %s::interval",
        (nearest,),
    )

    assert backlog.due_work("forecast").waiting == waiting


def test_the_use_of_the_provider_is_that_of_this_day(database: None) -> None:
    execute(
        "INSERT INTO weather_calls (provider, day, calls, searches, open_until) VALUES"
        " ('now', current_date, 25, 10, now()), ('before', current_date - 1, 100, 20, now())"
    )

    lines = exported(BacklogMetrics(lambda _queue: 0, CALLS_PER_DAY, lambda: True))

    assert [line for line in lines if line.startswith("allweather_provider")] == [
        'allweather_provider_calls_used_ratio{provider="now"} 0.25',
        'allweather_provider_searches_used_ratio{provider="now"} 0.5',
        'allweather_provider_calls_stopped{provider="now"} 1.0',
    ]


def test_only_the_process_that_is_asked_looks_the_backlog_up(alice: Actor) -> None:
    create_task(alice, city="Oslo")
    leads = False
    metrics = BacklogMetrics(lambda _queue: 7, CALLS_PER_DAY, lambda: leads)
    assert exported(metrics) == []

    leads = True

    lines = exported(metrics)
    assert "allweather_events_unpublished 1.0" in lines
    assert 'allweather_work_waiting{work="weather"} 1.0' in lines
    for queue in jobs.QUEUES:
        assert f'allweather_queue_messages{{queue="{queue}"}} 7.0' in lines


def test_what_can_be_read_is_there_although_redis_is_not(alice: Actor, redis: "Redis[bytes]") -> None:
    def unreachable(_queue: str) -> int:
        raise RedisError

    create_task(alice, city="Oslo")

    lines = exported(BacklogMetrics(unreachable, CALLS_PER_DAY, lambda: True))

    assert "allweather_events_unpublished 1.0" in lines
    assert 'allweather_work_waiting{work="weather"} 1.0' in lines
    assert [line for line in lines if "allweather_queue_messages" in line] == []


def test_the_metrics_have_the_names_and_labels_that_are_declared(alice: Actor) -> None:
    execute("INSERT INTO weather_calls (provider) VALUES ('x')")
    found = {
        sample.name: tuple(sample.labels)
        for family in BacklogMetrics(lambda _queue: 0, CALLS_PER_DAY, lambda: True).collect()
        for sample in family.samples
    }

    assert found == backlog.BACKLOG_METRICS
