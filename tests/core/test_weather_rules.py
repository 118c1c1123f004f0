"""Tasks with a weather rule: each crossing of a limit is told once, to the people of the task, whatever dies."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from redis import Redis

from core.config import Settings
from core.db import unit_of_work
from core.events import Event
from core.jobs import JobContext
from core.policy import Actor
from core.services import accounts, weather_rules
from core.services.forecasts import store_forecasts
from core.services.publication import jobs_for
from core.services.weather_rules import judge_place, judge_task, judge_waiting
from tests.builders import create_group, create_task, read_task, update_task
from tests.forecasts import (
    BAD,
    GOOD,
    HOUR,
    MIDNIGHT,
    RULE,
    STEPS,
    TOMORROW,
    arrive,
    create_outdoor_task,
    create_place,
    forecast,
)
from tests.job_context import job_context
from tests.sql import execute
from tests.statements import statements_sent
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def place_id() -> int:
    return create_place()


@pytest.fixture
def context(settings: Settings, redis: Redis) -> JobContext:
    return job_context(settings, redis)


@pytest.fixture
def outdoor(place_id: int) -> Callable[..., int]:
    """Create a task of tomorrow with a rule, at the place."""
    return lambda owner, **fields: create_outdoor_task(owner, **({"place_id": place_id} | fields))


def state(actor: Actor, task_id: int) -> Any:
    return read_task(actor, task_id)["weather_state"]


def crossings() -> list[tuple[str, int, int | None]]:
    """Return the recorded crossings: what happened to which task, and who caused it."""
    rows: list[tuple[str, int, int | None]] = execute(
        "SELECT type, task_id, actor_id FROM events WHERE type LIKE 'task.weather%%' ORDER BY id"
    ).fetchall()
    return [(kind.removeprefix("task.weather_"), task_id, actor_id) for kind, task_id, actor_id in rows]


def told() -> list[tuple[str, int]]:
    """Return the kinds of the notifications about the weather, with their readers."""
    rows: list[tuple[str, int]] = execute(
        "SELECT kind, user_id FROM notifications WHERE kind LIKE 'weather%%' ORDER BY id"
    ).fetchall()
    return [(kind.removeprefix("weather_"), user_id) for kind, user_id in rows]


class TestForecasts:
    def test_a_crossing_is_told_and_what_stays_the_same_is_not(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor
    ) -> None:
        task_id = outdoor(alice)
        states = []
        for gusts in (GOOD, BAD, BAD + 20, 48, GOOD, GOOD, None, GOOD, BAD):
            arrive(place_id, forecast(gusts))
            states.append(state(alice, task_id))

        assert states == ["ok", "warned", "warned", "warned", "ok", "ok", "unknown", "ok", "warned"]
        assert crossings() == [(kind, task_id, None) for kind in ("warned", "cleared", "warned")]
        assert told() == [(kind, alice.user_id) for kind in ("warned", "cleared", "warned")]
        assert read_task(alice, task_id)["version"] == 1

    def test_the_event_has_the_task_and_the_reasons(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor
    ) -> None:
        task_id = outdoor(alice, weather_rule=RULE | {"max_wind": 40}, duration_minutes=120)
        blowing = forecast(BAD)
        worst = (TOMORROW - MIDNIGHT) // HOUR - 1
        arrive(place_id, replace(blowing, gusts=(*blowing.gusts[:worst], 70.0, *blowing.gusts[worst + 1 :])))

        (data, changes) = execute(
            "SELECT e.data, a.changes FROM events e JOIN task_activity a USING (task_id, type) WHERE type = %s",
            ("task.weather_warned",),
        ).fetchone()
        at = (TOMORROW - HOUR).isoformat()
        reasons = [{"limit": "max_gusts", "allowed": 50.0, "expected": 70.0, "at": at}]
        assert data == read_task(alice, task_id) | {"reasons": reasons}
        assert changes == {"weather_state": {"from": None, "to": "warned"}}

    def test_only_hours_of_the_span_count(self, place_id: int, outdoor: Callable[..., int], alice: Actor) -> None:
        hour = (TOMORROW - MIDNIGHT) // HOUR
        good = forecast()
        arrive(place_id, replace(good, gusts=(*(BAD,) * (hour - 2), GOOD, GOOD, *(BAD,) * (STEPS - hour))))
        ids = [outdoor(alice, duration_minutes=minutes) for minutes in (None, 120, 121)]
        for task_id in ids:
            judge_task(task_id)

        assert [state(alice, task_id) for task_id in ids] == ["ok", "ok", "warned"]

    def test_people_of_a_shared_task_are_told_and_strangers_are_not(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor, bob: Actor, mallory: Actor, ada: Actor
    ) -> None:
        group_id = create_group(ada, members=(alice, bob))
        outdoor(alice, group_id=group_id)
        outdoor(mallory, due_at=None)
        arrive(place_id, forecast(BAD))

        assert told() == [("warned", user_id) for user_id in sorted([alice.user_id, bob.user_id, ada.user_id])]
        ((audience,),) = execute("SELECT audience FROM events WHERE type = 'task.weather_warned'").fetchall()
        assert mallory.user_id not in audience

    def test_a_span_beyond_the_forecast_is_unknown_until_it_comes_near(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor
    ) -> None:
        task_id = outdoor(alice, due_at=MIDNIGHT + timedelta(days=4, minutes=1))
        far = forecast(BAD)
        arrive(place_id, far)
        assert (state(alice, task_id), crossings()) == ("unknown", [])

        arrive(place_id, replace(far, starts_at=MIDNIGHT + HOUR, fetched_at=far.fetched_at + HOUR))
        assert state(alice, task_id) == "warned"

    def test_a_late_job_with_an_older_forecast_changes_nothing(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor
    ) -> None:
        older = forecast(BAD)
        task_id = outdoor(alice)
        arrive(place_id, forecast(GOOD))

        judge_place(place_id, older)

        assert (state(alice, task_id), crossings()) == ("ok", [])

    def test_more_than_one_page_of_tasks_is_judged(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(weather_rules, "_PAGE", 4)
        monkeypatch.setattr(weather_rules, "_BATCH", 3)
        ids = [outdoor(alice) for _ in range(9)]

        arrive(place_id, forecast(BAD))

        assert [task_id for _, task_id, _ in crossings()] == ids


class TestOnce:
    def test_whoever_judges_locks_tasks_before_forecasts_so_that_judges_cannot_wait_for_each_other(
        self, place_id: int, outdoor: Callable[..., int], alice: Actor
    ) -> None:
        task_id = outdoor(alice)
        bad = forecast(BAD)
        with unit_of_work():
            store_forecasts({place_id: bad})
        judges: list[Callable[[], None]] = [lambda: judge_place(place_id, bad), lambda: judge_task(task_id)]

        for judge in judges:
            with statements_sent() as sent:
                judge()
            locks = [
                lock for statement in sent for lock in ("FOR NO KEY UPDATE OF t", "FOR SHARE") if lock in statement
            ]
            assert locks == ["FOR NO KEY UPDATE OF t", "FOR SHARE"]

    def test_many_judges_at_once_tell_each_crossing_once(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        ids = [outdoor(alice) for _ in range(8)]
        bad = forecast(BAD)
        with unit_of_work():
            store_forecasts({place_id: bad})
        judges: list[Callable[[], object]] = [
            lambda: judge_place(place_id, bad),
            lambda: judge_waiting(context),
            lambda: judge_task(ids[0]),
        ]

        in_parallel(lambda number: judges[number % 3](), 9)
        judge_waiting(context)

        assert sorted(crossings()) == [("warned", task_id, None) for task_id in ids]
        assert told() == [("warned", alice.user_id)] * len(ids)

    @pytest.mark.parametrize("by_place", [True, False], ids=["place", "marked"])
    def test_a_crossing_of_an_interrupted_run_is_told_by_the_next_run(
        self, by_place: bool, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        bad = forecast(BAD)
        with unit_of_work():
            store_forecasts({place_id: bad})
        task_id = outdoor(alice)

        def run() -> None:
            if by_place:
                judge_place(place_id, bad)
            else:
                judge_waiting(context)

        def die_before_the_commit() -> None:
            with unit_of_work():
                run()
                assert len(crossings()) == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            die_before_the_commit()
        assert (state(alice, task_id), told()) == (None, [])

        run()
        run()
        assert crossings() == [("warned", task_id, None)]
        assert told() == [("warned", alice.user_id)]

    def test_a_lost_message_only_delays(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        """The task stays marked until it was judged, so the periodic job finds it."""
        arrive(place_id, forecast(BAD))
        task_id = outdoor(alice)

        assert weather_rules.has_waiting(context)
        assert (judge_waiting(context), judge_waiting(context)) == (1, 0)
        assert not weather_rules.has_waiting(context)
        assert crossings() == [("warned", task_id, None)]

    def test_a_task_that_is_being_changed_is_judged_after_the_change(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        arrive(place_id, forecast(BAD))
        task_id = outdoor(alice)
        with unit_of_work():
            execute("SELECT FROM tasks WHERE id = %s FOR UPDATE", (task_id,))
            assert in_parallel(lambda _: judge_waiting(context), 1) == [0]

        assert judge_waiting(context) == 1


class TestChanges:
    @pytest.fixture
    def warned(self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor, bob: Actor) -> int:
        """A warned task of Alice, given to Bob."""
        task_id = outdoor(alice, assignee_id=bob.user_id)
        arrive(place_id, forecast(BAD))
        judge_waiting(context)
        with unit_of_work():
            execute("DELETE FROM notifications")
            execute("DELETE FROM events")
        return task_id

    @pytest.mark.parametrize(
        "change", [{"weather_rule": {"max_gusts": 80}}, {"weather_rule": {"max_wind": 20}}], ids=["higher", "other"]
    )
    def test_a_person_who_ends_a_warning_is_not_told_but_the_others_are(
        self, change: dict[str, Any], warned: int, context: JobContext, alice: Actor, bob: Actor
    ) -> None:
        update_task(alice, warned, **change)
        judge_waiting(context)

        assert state(alice, warned) == "ok"
        assert crossings() == [("cleared", warned, alice.user_id)]
        assert told() == [("cleared", bob.user_id)]

    def test_a_person_who_moves_a_task_into_bad_weather_is_told(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        half = forecast()
        arrive(place_id, replace(half, gusts=(*half.gusts[:48], *(BAD,) * 48)))
        task_id = outdoor(alice)
        judge_waiting(context)

        update_task(alice, task_id, due_at=TOMORROW + timedelta(days=1))
        judge_waiting(context)

        assert crossings() == [("warned", task_id, None)]
        assert told() == [("warned", alice.user_id)]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"status": "done"}, None),
            ({"weather_rule": None}, None),
            ({"due_at": None}, "unknown"),
            ({"due_at": MIDNIGHT - HOUR}, "unknown"),
            ({"due_at": MIDNIGHT + timedelta(days=30)}, "unknown"),
        ],
        ids=["done", "no rule", "no deadline", "past", "beyond"],
    )
    def test_a_state_that_ends_otherwise_ends_silently(
        self, change: dict[str, Any], expected: str | None, warned: int, context: JobContext, alice: Actor
    ) -> None:
        update_task(alice, warned, **change)
        judge_waiting(context)

        assert (state(alice, warned), crossings(), told()) == (expected, [], [])

    def test_a_deadline_that_passes_ends_the_state_silently(
        self, warned: int, context: JobContext, alice: Actor
    ) -> None:
        with unit_of_work():
            execute("SET LOCAL session_replication_role = replica")
            execute("UPDATE tasks SET due_at = now() - interval '1 second' WHERE id = %s", (warned,))

        assert judge_waiting(context) == 1
        assert (state(alice, warned), crossings(), told()) == ("unknown", [], [])

    def test_a_reopened_task_is_judged_again(self, warned: int, context: JobContext, alice: Actor) -> None:
        for status in ("done", "todo"):
            update_task(alice, warned, status=status)
            judge_waiting(context)

        assert (state(alice, warned), crossings()) == ("warned", [("warned", warned, None)])

    def test_a_change_that_does_not_concern_the_weather_marks_nothing(
        self, warned: int, context: JobContext, alice: Actor
    ) -> None:
        update_task(alice, warned, title="Clean the roof")

        assert judge_waiting(context) == 0

    def test_a_task_without_a_rule_is_never_marked(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        task_id = outdoor(alice, weather_rule=None)
        update_task(alice, task_id, due_at=TOMORROW + HOUR)
        arrive(place_id, forecast(BAD))

        assert (judge_waiting(context), state(alice, task_id)) == (0, None)

    def test_a_task_of_a_day_is_judged_in_the_working_hours_of_its_owner(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        tomorrow = (MIDNIGHT + timedelta(days=1)).date()
        good = forecast()
        # Windy from 02:00 to 04:00 in UTC, which is 11:00 to 13:00 in Tokyo.
        arrive(place_id, replace(good, gusts=(*good.gusts[:26], BAD, BAD, *good.gusts[28:])))
        task_id = outdoor(alice, due_on=tomorrow, due_at=MIDNIGHT + timedelta(days=2, seconds=-1))
        judge_waiting(context)
        states = [state(alice, task_id)]
        for profile in (
            {"timezone": "Asia/Tokyo"},
            {"working_hours": {"days": ["mon"], "from": "13:00", "to": "18:00"}},
        ):
            accounts.update_profile(alice, profile, is_confirmed=False)
            judge_waiting(context)
            states.append(state(alice, task_id))

        assert states == ["ok", "warned", "ok"]


class TestProfile:
    def test_its_rule_is_that_of_open_tasks_with_a_place_and_no_rule(
        self, place_id: int, outdoor: Callable[..., int], context: JobContext, alice: Actor, bob: Actor,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(weather_rules, "_PAGE", 2)
        arrive(place_id, forecast(BAD))
        without = [outdoor(alice, weather_rule=None) for _ in range(5)]
        own = outdoor(alice, weather_rule={"max_gusts": 90.0})
        others = [outdoor(alice, weather_rule=None, status="done"), outdoor(bob, weather_rule=None),
                  create_task(alice, due_at=TOMORROW)]  # fmt: skip
        judge_waiting(context)

        accounts.update_profile(alice, {"weather_rule": RULE}, is_confirmed=False)
        judge_waiting(context)
        assert [state(alice, task_id) for task_id in [*without, own]] == ["warned"] * 5 + ["ok"]
        assert [execute("SELECT weather_state FROM tasks WHERE id = %s", (other,)).fetchone() for other in others] == [
            (None,)
        ] * 3
        created = outdoor(alice, weather_rule=None)
        judge_waiting(context)
        assert state(alice, created) == "warned"

        accounts.update_profile(alice, {"weather_rule": None}, is_confirmed=False)
        judge_waiting(context)
        assert [state(alice, task_id) for task_id in [*without, own]] == [None] * 5 + ["ok"]
        assert [kind for kind, *_ in crossings()] == ["warned"] * 6

    def test_a_profile_that_keeps_its_rule_marks_nothing(
        self, outdoor: Callable[..., int], context: JobContext, alice: Actor
    ) -> None:
        accounts.update_profile(alice, {"weather_rule": RULE}, is_confirmed=False)
        judge_waiting(context)
        accounts.update_profile(alice, {"weather_rule": RULE, "full_name": "Alice A."}, is_confirmed=False)

        assert not weather_rules.has_waiting(context)


def test_a_full_job_sends_the_next_one(
    place_id: int, outdoor: Callable[..., int], settings: Settings, redis: Redis, alice: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(weather_rules, "_BATCH", 2)
    monkeypatch.setattr(weather_rules, "_BATCHES", 2)
    sent: list[str] = []
    context = job_context(settings, redis, lambda request: sent.append(request.name))
    for _ in range(5):
        outdoor(alice)

    assert [judge_waiting(context), judge_waiting(context)] == [4, 1]
    assert sent == ["weather.judge"]


@pytest.mark.parametrize(("fields", "expected"), [({}, 0), ({"weather_rule": RULE}, 1), ({"place_id": None}, 0)])
def test_only_tasks_that_may_have_a_rule_cause_a_job(fields: dict[str, Any], expected: int, alice: Actor) -> None:
    create_task(alice, **fields)
    (data,) = execute("SELECT data FROM events WHERE type = 'task.created'").fetchone()

    event = Event(1, "task.created", 1, 1, (1,), "", None, orjson.dumps(data).decode())
    assert [request.name for request in jobs_for([event, event])] == ["weather.judge"] * expected
