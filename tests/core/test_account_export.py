"""The export of an account's data: complete, in order, and read in parts of a bounded length."""

from typing import Any

import orjson
import pytest

from core.db import unit_of_work
from core.policy import Actor
from core.services.account_export import PART_LENGTH, Part, begin_export, read_part
from tests.builders import create_task
from tests.sql import execute
from tests.statements import statements_sent

pytestmark = pytest.mark.usefixtures("database")

MEMBERS = [
    *("profile", "sessions", "attachments", "tasks", "groups", "comments", "delegations", "reminders"),
    *("notifications", "invitations", "weather_outcomes", "feedback", "audit"),
]


def parts_of(actor: Actor) -> list[str]:
    """Export the account and return the text of each part."""
    part: Part = begin_export(actor)
    texts = [part.text]
    while part.end is not None:
        part = read_part(actor, part.end)
        texts.append(part.text)
    return texts


def export(actor: Actor) -> dict[str, Any]:
    exported: dict[str, Any] = orjson.loads("".join(parts_of(actor)))
    return exported


def add_tasks(owner: Actor, number: int) -> None:
    with unit_of_work():
        execute(
            "INSERT INTO tasks (title, user_id) SELECT 'Task ' || i, %s FROM generate_series(1, %s) i",
            (owner.user_id, number),
        )


@pytest.mark.parametrize("number", [0, 1, PART_LENGTH - 1, PART_LENGTH, PART_LENGTH + 1, 2 * PART_LENGTH])
def test_each_task_is_exported_once_and_in_order(number: int, alice: Actor, bob: Actor) -> None:
    add_tasks(alice, number)
    create_task(bob)

    exported = export(alice)

    assert [task["title"] for task in exported["tasks"]] == [f"Task {i}" for i in range(1, number + 1)]
    assert list(exported) == MEMBERS


def test_everything_that_can_be_long_is_exported_completely(alice: Actor, bob: Actor) -> None:
    many = PART_LENGTH + 50
    task_id = create_task(alice, assignee_id=bob.user_id)
    parameters = {"task": task_id, "user": bob.user_id, "many": many}
    with unit_of_work():
        for statement in (
            "INSERT INTO comments (task_id, user_id, body) SELECT %(task)s, %(user)s, 'x'",
            "INSERT INTO delegations (task_id, actor_id) SELECT %(task)s, %(user)s",
            "INSERT INTO reminders (task_id, user_id, seconds_before_due) SELECT %(task)s, %(user)s, 60",
            "INSERT INTO notifications (task_id, user_id, kind, details) SELECT %(task)s, %(user)s, 'assigned', '{}'",
            "INSERT INTO feedback (user_id, rating) SELECT %(user)s, 5",
            "INSERT INTO audit_log (user_id, action, details) SELECT %(user)s, 'login.succeeded', '{}'",
        ):
            execute(f"{statement} FROM generate_series(1, %(many)s)", parameters)

    exported = export(bob)

    for section in ("comments", "delegations", "reminders", "notifications", "feedback", "audit"):
        ids = [item["id"] for item in exported[section]]
        assert len(ids) >= many, section
        assert ids == sorted(set(ids), reverse=section == "audit"), section


def test_only_ones_own_uploads_are_exported(alice: Actor, bob: Actor) -> None:
    task_id = create_task(alice)
    with unit_of_work():
        for uploader in (alice, bob):
            execute(
                "WITH file AS (INSERT INTO stored_files (key) VALUES (%(name)s))"
                " INSERT INTO attachments (task_id, user_id, file_key, filename, content_type, size, sha256)"
                " VALUES (%(task)s, %(user)s, %(name)s, %(name)s, 'x', 1, 'x')",
                {"task": task_id, "user": uploader.user_id, "name": f"of {uploader.user_id}"},
            )

    (attachment,) = export(bob)["attachments"]
    assert attachment["filename"] == f"of {bob.user_id}"
    assert "file_key" not in attachment


def test_no_part_has_more_than_a_bounded_number_of_rows(alice: Actor) -> None:
    add_tasks(alice, 10 * PART_LENGTH)

    parts = parts_of(alice)

    assert sum(part.count('"title"') for part in parts) == 10 * PART_LENGTH
    assert max(part.count('"title"') for part in parts) == PART_LENGTH


def test_a_part_is_one_statement(alice: Actor) -> None:
    add_tasks(alice, PART_LENGTH + 1)
    part = begin_export(alice)

    while part.end is not None:
        with statements_sent() as statements:
            part = read_part(alice, part.end)
        assert len(statements) == 1


def test_the_export_is_audited_once(alice: Actor) -> None:
    add_tasks(alice, PART_LENGTH + 1)

    actions = [(entry["action"], entry["details"]) for entry in export(alice)["audit"]]

    assert actions.count(("data.exported", {"what": "account"})) == 1
