"""The query with which KEDA decides how many workers there should be."""

from pathlib import Path

import pytest
import yaml

from core.db import read
from core.policy import Actor
from tests.builders import create_task
from tests.sql import execute

AUTOSCALING = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "autoscaling.yaml"


def age() -> float:
    """Return what the query returns: the seconds by which the oldest work is late."""
    documents = yaml.safe_load_all(AUTOSCALING.read_text(encoding="utf-8"))
    (scaled,) = [document for document in documents if document["kind"] == "ScaledObject"]
    return float(read(scaled["spec"]["triggers"][0]["metadata"]["query"]).fetch_value())


@pytest.mark.parametrize(
    "work",
    [
        "UPDATE events SET at = now() - interval '100 seconds'",
        "UPDATE tasks SET weather_next_attempt_at = now() - interval '100 seconds'",
        (
            "INSERT INTO reminders (task_id, remind_at, fires_at) "
            "SELECT id, now(), now() - interval '100 seconds' FROM tasks"
        ),
        (
            "INSERT INTO notifications (user_id, kind, task_id, details, mail_status, mail_next_attempt_at) "
            "SELECT user_id, 'overdue', id, '{}', 'pending', now() - interval '100 seconds' FROM tasks"
        ),
        (
            "INSERT INTO account_mails (recipient, kind, locale, details, mail_next_attempt_at) "
            "VALUES ('ada@example.com', 'password', 'en', '{}', now() - interval '100 seconds')"
        ),
    ],
    ids=["events", "weather", "reminders", "notifications", "account mails"],
)
def test_more_workers_are_wanted_if_work_of_any_kind_is_late(alice: Actor, work: str) -> None:
    create_task(alice, city="London")
    assert age() < 50

    execute(work)

    assert 100 <= age() < 150


def test_no_more_workers_are_wanted_for_work_that_is_not_due_or_was_given_up(alice: Actor) -> None:
    create_task(alice, city="London")
    create_task(alice, city="Oslo")
    execute("UPDATE events SET seq = id")
    execute("UPDATE tasks SET weather_next_attempt_at = now() + interval '100 seconds'")
    execute(
        "UPDATE tasks SET weather_status = 'unavailable', weather_next_attempt_at = now() - interval '100 seconds' "
        "WHERE city = 'Oslo'"
    )

    assert age() == 0
