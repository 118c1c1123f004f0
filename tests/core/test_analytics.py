"""The analytics: always exact, and the same whether folded incrementally or rebuilt."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from core import db
from core.db import unit_of_work
from core.models.task import STATUSES
from core.policy import Actor
from core.services import analytics
from core.services.analytics import read_figures
from tests.builders import create_task
from tests.sql import execute


def counted(actor: Actor) -> dict[str, int]:
    rows = execute("SELECT status, count(*) FROM tasks WHERE user_id = %s GROUP BY 1", (actor.user_id,)).fetchall()
    return dict.fromkeys(STATUSES, 0) | dict(rows)


def rollups() -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = execute(
        "SELECT user_id, day, status, tasks FROM analytics_rollups WHERE tasks <> 0 ORDER BY 1, 2, 3"
    ).fetchall()
    return rows


def create_on(actor: Actor, created_at: datetime) -> int:
    task_id = create_task(actor, title="dated")
    with unit_of_work():
        execute("UPDATE tasks SET created_at = %s WHERE id = %s", (created_at, task_id))
    return task_id


def test_figures_are_exact_before_and_after_folding(alice: Actor) -> None:
    for status in ("todo", "todo", "done"):
        create_task(alice, status=status)

    before = read_figures(alice)
    folded = analytics.fold()
    after = read_figures(alice)

    assert before.by_status == after.by_status == {"todo": 2, "in_progress": 0, "done": 1}
    assert before.by_user == after.by_user == {"alice": 3}
    assert folded == 3
    assert datetime.now(UTC) - after.as_of < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("UTC", date(2026, 7, 1), 4),
        ("America/Los_Angeles", date(2026, 7, 1), 4),
        ("Asia/Tokyo", date(2026, 7, 1), 2),
        ("Asia/Kathmandu", date(2026, 7, 2), 3),
    ],
)
@pytest.mark.parametrize("is_folded", [False, True])
def test_a_day_of_the_figures_is_a_day_of_the_reader(
    alice: Actor, bob: Actor, ada: Actor, zone: str, day: date, expected: int, is_folded: bool
) -> None:
    for hour in (0, 12, 18.5, 23, 30, 47):
        create_on(alice, datetime(2026, 7, 1, tzinfo=UTC) + timedelta(hours=hour))
    create_on(bob, datetime(2026, 7, 1, 12, tzinfo=UTC))
    create_on(alice, datetime(2026, 6, 1, tzinfo=UTC))
    if is_folded:
        analytics.fold()

    assert read_figures(replace(alice, timezone=zone), day, day).by_user == {"alice": expected}
    assert read_figures(replace(alice, timezone=zone), date(2026, 6, 15)).by_user == {"alice": 6}
    assert read_figures(replace(ada, timezone=zone), None, day - timedelta(days=7)).by_user == {"alice": 1}


def test_days_of_any_zone_count_exactly_the_tasks_of_these_days(alice: Actor) -> None:
    begin = datetime(2026, 3, 27, tzinfo=UTC)
    instants = [begin + timedelta(minutes=30 * number) for number in range(0, 240, 7)]
    for instant in instants:
        create_on(alice, instant)
    analytics.fold()

    for zone in map(ZoneInfo, ("Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati")):
        for start, end in ((28, 28), (28, 30), (29, 29)):
            first, last = date(2026, 3, start), date(2026, 3, end)
            counted = sum(first <= instant.astimezone(zone).date() <= last for instant in instants)
            assert read_figures(replace(alice, timezone=zone.key), first, last).by_user == {"alice": counted}


def test_without_tasks_all_figures_are_zero(alice: Actor) -> None:
    figures = read_figures(alice)

    assert figures.by_status == {"todo": 0, "in_progress": 0, "done": 0}
    assert figures.by_user == {}


def test_users_see_their_own_figures_and_admins_see_all(alice: Actor, bob: Actor, ada: Actor) -> None:
    create_task(alice, assignee_id=bob.user_id)
    create_task(bob)

    assert read_figures(bob).by_user == {"bob": 1}
    assert read_figures(ada).by_user == {"alice": 1, "bob": 1}


@pytest.mark.parametrize("fold_first", [False, True])
def test_start_and_end_dates_are_inclusive_in_utc(fold_first: bool, alice: Actor) -> None:
    for created_at in (
        datetime(2026, 4, 30, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 5, 1, tzinfo=UTC),
        datetime(2026, 5, 24, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 5, 25, tzinfo=UTC),
    ):
        create_on(alice, created_at)
    if fold_first:
        analytics.fold()

    def total(start: date | None, end: date | None) -> int:
        return sum(read_figures(alice, start, end).by_status.values())

    assert total(date(2026, 5, 1), date(2026, 5, 24)) == 2
    assert total(date(2026, 5, 1), None) == 3
    assert total(None, date(2026, 5, 24)) == 3
    assert total(None, None) == 4


def test_deleting_an_account_deletes_its_figures(alice: Actor, ada: Actor) -> None:
    create_task(alice)
    analytics.fold()
    with unit_of_work():
        execute("DELETE FROM users WHERE id = %s", (alice.user_id,))

    assert read_figures(ada).by_user == {}
    analytics.fold()
    assert rollups() == []


def test_rebuilding_equals_folding_after_thousands_of_random_changes(alice: Actor, bob: Actor) -> None:
    """Changes, folds and rebuilds run in parallel; at each check the figures equal a count of the tasks."""
    rng = random.Random(20260501)  # noqa: S311 - the same changes in every run.
    changes_done = threading.Event()

    def fold_repeatedly() -> None:
        while not changes_done.is_set():
            analytics.fold(limit=rng.choice([1, 7, 100]))
        db.disconnect()

    folder = threading.Thread(target=fold_repeatedly)
    folder.start()
    try:
        _change_at_random(rng, (alice, bob), 3000)
    finally:
        changes_done.set()
        folder.join()
    while analytics.fold():
        pass

    incremental = rollups()
    analytics.rebuild()

    assert incremental == rollups()
    assert incremental
    for actor in (alice, bob):
        check_figures(actor)


def check_figures(actor: Actor) -> None:
    """Compare a count of the tasks with the totals, and with the sums of all days."""
    for start in (None, date.min):
        assert read_figures(actor, start).by_status == counted(actor)


@pytest.mark.usefixtures("database")
def test_several_folds_at_the_same_time_end() -> None:
    """Each of them adds to the totals of many users, for days that are new and for days that are not."""
    with unit_of_work():
        execute(
            "INSERT INTO analytics_deltas (day, user_id, status, change)"
            " SELECT date '2026-05-01' + floor(random() * 90)::int, floor(random() * 40), 'todo', 1"
            " FROM generate_series(1, 3000)"
        )

    def fold_all() -> int:
        folded = 0
        while some := analytics.fold(limit=20):
            folded += some
        db.disconnect()
        return folded

    with ThreadPoolExecutor(2) as threads:
        folded = [future.result() for future in [threads.submit(fold_all) for _ in range(2)]]

    assert sum(folded) == 3000
    assert execute("SELECT sum(tasks) FROM task_totals").fetchone() == (3000,)


def _change_at_random(rng: random.Random, actors: tuple[Actor, Actor], changes: int) -> None:
    """Make random changes with SQL: the figures must be right for every kind of writer."""
    for number in range(changes):
        actor = rng.choice(actors)
        match rng.randrange(10):
            case 0 | 1 | 2 | 3:
                sql = (
                    "INSERT INTO tasks (title, user_id, status, completed_at, created_at) SELECT 'x', %(user)s, "
                    "%(status)s, CASE WHEN %(status)s = 'done' THEN now() END, now() - make_interval(days => %(days)s)"
                )
            case 4 | 5 | 6 | 7:
                sql = (
                    "UPDATE tasks SET status = %(status)s, completed_at = CASE WHEN %(status)s = 'done' THEN now() END "
                    "WHERE id IN (SELECT id FROM tasks WHERE user_id = %(user)s ORDER BY random() LIMIT 3)"
                )
            case _:
                sql = "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE user_id = %(user)s LIMIT 1)"
        parameters = {"user": actor.user_id, "status": rng.choice(STATUSES), "days": rng.randrange(5)}
        with unit_of_work():
            execute(sql, parameters)
        if number % 500 == 0:
            check_figures(actor)
        if number % 1000 == 999:
            analytics.rebuild()


def test_postgresql_knows_every_time_zone_that_a_profile_may_have(database: None) -> None:
    names = sorted(available_timezones() - {"localtime"})

    assert execute("SELECT count(now() AT TIME ZONE name) FROM unnest(%s) name", (names,)).fetchone() == (len(names),)
