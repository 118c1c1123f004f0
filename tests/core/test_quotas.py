"""The count of a user's tasks for the quota is exact after every kind of change, and costs no round trip."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from core.db import unit_of_work
from core.errors import TooLarge
from core.policy import Actor
from core.services import analytics, tasks
from core.services.quotas import TASKS_ARE_FULL
from tests.builders import create_task
from tests.sql import execute
from tests.statements import statements_sent

FIELDS = {"title": "x"}


def owned(actor: Actor) -> int:
    (number,) = execute("SELECT count(*) FROM tasks WHERE user_id = %s", (actor.user_id,)).fetchone()
    return int(number)


def is_exact(actor: Actor) -> bool:
    """Whether one more task is refused with a quota of as many as there are, and not with one more."""
    with pytest.raises(TooLarge):
        tasks.create_task(actor, FIELDS, owned(actor))
    with unit_of_work():
        made = tasks.create_task(actor, FIELDS, owned(actor) + 1).id
        tasks.delete_task(actor, made)
    return True


def test_the_count_is_exact_after_random_changes_and_folds(alice: Actor, bob: Actor) -> None:
    rng = random.Random(7)  # noqa: S311 - the same changes in every run.
    for actor in (alice, bob):
        create_task(actor)
    for _ in range(60):
        actor = rng.choice((alice, bob))
        match rng.randrange(5):
            case 0 | 1:
                create_task(actor)
            case 2 if owned(actor) > 1:
                (newest,) = execute("SELECT max(id) FROM tasks WHERE user_id = %s", (actor.user_id,)).fetchone()
                tasks.delete_task(actor, newest)
            case 3:
                analytics.fold(limit=rng.randrange(1, 5))
            case _:
                with unit_of_work():
                    execute("UPDATE tasks SET status = 'in_progress' WHERE user_id = %s", (actor.user_id,))
        assert is_exact(actor)

    analytics.rebuild()
    assert is_exact(alice)
    assert is_exact(bob)


def test_the_count_is_exact_when_the_waiting_deltas_fill_whole_pages(alice: Actor) -> None:
    """How many deltas there can be at most is computed from the size of their table: 136 fit into a page."""
    with unit_of_work():
        execute("TRUNCATE analytics_deltas")
        execute("INSERT INTO tasks (title, user_id) SELECT 'x', %s FROM generate_series(1, 1360)", (alice.user_id,))

    assert is_exact(alice)


@pytest.mark.parametrize(("quota", "adds_up"), [(1, True), (100_000, False)])
def test_deltas_are_only_added_up_for_a_user_who_could_be_over_the_quota(
    quota: int, adds_up: bool, alice: Actor
) -> None:
    create_task(alice)

    parameters = {"user_id": alice.user_id, "quota": quota}
    (((explained,),),) = execute(f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT {TASKS_ARE_FULL}", parameters).fetchall()

    scans = [node for node in nodes(explained["Plan"]) if node.get("Relation Name") == "analytics_deltas"]
    assert [scan["Actual Loops"] > 0 for scan in scans] == [adds_up]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return all nodes of a plan."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def test_a_wrong_total_is_counted_again_when_the_figures_are_rebuilt(alice: Actor) -> None:
    create_task(alice)
    analytics.fold()
    with unit_of_work():
        execute("UPDATE task_totals SET todo = 7")

    analytics.rebuild()

    assert is_exact(alice)


def test_a_task_that_fails_does_not_count(alice: Actor) -> None:
    create_task(alice)
    for _ in range(3):
        pytest.raises(TooLarge, tasks.create_task, alice, FIELDS, 1)

    assert is_exact(alice)


def test_a_task_is_made_in_one_round_trip(alice: Actor) -> None:
    """The count, the task, its event, its history and the commit are sent together."""
    tasks.create_task(alice, FIELDS, 2)

    with statements_sent() as sent:
        tasks.create_task(alice, FIELDS, 2)

    assert [statement.split(maxsplit=4)[:4] for statement in sent] == [["SET", "TRANSACTION", "READ", "WRITE;EXECUTE"]]
