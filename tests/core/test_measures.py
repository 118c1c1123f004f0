"""The measures: what they count, when they are not ok, and where the operator reads what to do."""

import re
from pathlib import Path
from typing import Any

import pytest

from core.activity import EVICTED, Activity
from core.config import Settings
from core.db import unit_of_work
from core.heartbeat import Heartbeat
from core.policy import Actor
from core.services import measures, weather_calls
from core.services.measures import MEASURES, Measure, Queue, State
from core.services.processes import Identity
from tests.builders import create_task
from tests.failures import failed_account_mail, failed_weather
from tests.forecasts import create_place, forecast
from tests.sql import execute

pytestmark = pytest.mark.usefixtures("database")
RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
QUEUES = [Queue("mail", 3, 12.5), Queue("weather", 0, None)]


def test_every_measure_has_a_value(settings: Settings) -> None:
    values = measures.read_values(settings, QUEUES)

    names = {measure.name for measure in MEASURES}
    unknown = {name for name in names if name.startswith("queue.") and name.split(".")[1] not in {"mail", "weather"}}
    assert values.keys() == names - unknown
    assert len(names) == len(MEASURES)


def test_the_headings_of_the_runbook_exist() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    wanted = {measure.runbook.anchor for measure in MEASURES if measure.runbook is not None}

    assert wanted - anchors == set()


def test_every_measure_with_a_limit_says_what_to_do() -> None:
    limits = (float("inf"), float("inf"), float("-inf"))
    limited = [measure for measure in MEASURES if (measure.warn, measure.bad, measure.least) != limits]

    assert [measure.name for measure in limited if measure.runbook is None] == []


@pytest.mark.parametrize(
    ("value", "state"), [(None, "ok"), (0, "bad"), (1, "ok"), (5, "ok"), (6, "warn"), (9, "warn"), (10, "bad")]
)
def test_the_state_depends_on_the_limits(value: float | None, state: State) -> None:
    assert Measure("x", warn=5, bad=9, least=1).state(value) == state


def test_what_waits_and_what_was_given_up_is_counted(settings: Settings, alice: Actor) -> None:
    create_task(alice, city="Oslo")
    failed_weather(alice)
    failed_account_mail(alice)
    failed_account_mail(alice, given_up=False)
    execute("UPDATE events SET at = date_trunc('day', at) WHERE seq IS NULL")
    execute("INSERT INTO mail_counts (subject, period_start, mails) VALUES ('all', date_trunc('hour', now()), 250)")

    values = measures.read_values(settings.model_copy(update={"mails_per_hour": 1000}), QUEUES)

    counted = ("weather.waiting", "weather.given_up", "mails.waiting", "mails.given_up", "mails.hour")
    assert [values[name] for name in counted] == [1, 1, 1, 1, 25]
    (unpublished,) = execute("SELECT count(*) FROM events WHERE seq IS NULL").fetchone()
    assert values["events.unpublished"] == unpublished > 0
    assert (values["events.lag"] or 0) > 0
    assert (values["queue.mail.length"], values["queue.mail.oldest"]) == (3, 12.5)


def test_the_budget_of_the_provider_and_what_waits_for_it_are_measured(settings: Settings, alice: Actor) -> None:
    task_id = create_task(alice)
    create_place("Oslo", forecast())
    execute("UPDATE tasks SET weather_judge_at = now() - interval '1 hour' WHERE id = %s", (task_id,))
    execute("UPDATE forecasts SET refresh_at = now() - interval '1 hour', nearest_due_at = now() + interval '1 day'")
    execute("INSERT INTO weather_calls (provider, calls, searches, open_until) VALUES ('x', 50, 5, now())")
    limited = settings.model_copy(update={"weather_calls_per_day": 100})

    values = measures.read_values(limited, QUEUES)

    names = ("calls", "searches", "stopped")
    assert [values[f"weather.{name}"] for name in names] == [50, 25, 1]
    assert (values["forecasts.waiting"], values["judgements.waiting"]) == (1, 1)
    states = {measure.name: measure.state(values[measure.name]) for measure in MEASURES if measure.name in values}
    bad = ("weather.stopped", "forecasts.late", "judgements.late")
    assert [states[name] for name in bad] == ["warn", "warn", "bad"]

    weather_calls.resume()

    assert measures.read_values(limited, QUEUES)["weather.stopped"] == 0


def test_what_processes_did_in_the_last_full_minute_is_counted(settings: Settings) -> None:
    for kind in ("web", "worker"):
        activity = Activity()
        activity.open_sockets = lambda: 2
        activity.count(EVICTED, 4)
        activity.observe("request", "GET /x", 0.2, failed=True)
        activity.observe("job", "x", 0.004)
        activity.observe("job", "events.publish", 5)
        Heartbeat(Identity(kind, kind), activity).beat()
    this_minute = measures.read_values(settings, None)
    execute("UPDATE activity SET minute = minute - interval '1 minute'")

    values = measures.read_values(settings, None)

    names = ("sockets.evicted", "requests.served", "requests.failed", "jobs.run", "jobs.failed", "requests.p99")
    assert [this_minute[name] for name in names] == [0, 0, 0, 0, 0, None]
    assert [values[name] for name in names[:5]] == [8, 2, 2, 4, 0]
    assert (values["jobs.p99"] or 0) <= 5
    assert 150 < (values["requests.p99"] or 0) <= 200
    assert [values[f"processes.{kind}"] for kind in ("web", "worker", "beat")] == [1, 1, 0]
    assert (values["sockets.open"], values["redis.available"]) == (4, 0)


def test_a_process_that_is_silent_does_not_count(settings: Settings) -> None:
    Heartbeat(Identity("worker", "worker"), Activity()).beat()
    with unit_of_work():
        execute("UPDATE processes SET heartbeat_at = now() - interval '31 seconds'")

    assert measures.read_values(settings, QUEUES)["processes.worker"] == 0


@pytest.mark.parametrize("message", [b'{"headers": {}}', b"{}", b"7", b"no JSON"])
def test_a_message_without_a_time_has_no_age(message: Any) -> None:
    replies = [1, message] * len(measures.queues_from([0, None] * 4))

    assert {queue.oldest_seconds for queue in measures.queues_from(replies)} == {None}
