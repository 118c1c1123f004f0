"""Work that has failed: it is listed with its reason, and tried again or dropped only where it has failed."""

from typing import Any

import orjson
import pytest

from core.errors import Invalid
from core.policy import Actor
from core.retries import Outcome
from core.services import account_mails, failed_work, mail, tasks, weather
from core.services.failed_work import Filter, Work
from tests.builders import create_task, read_task
from tests.failures import failed_account_mail, failed_notification_mail, failed_weather
from tests.recorded import recorded_types
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")
ALL = Filter()


@pytest.fixture
def failed(alice: Actor, bob: Actor) -> list[Work]:
    """Work of each kind that was given up."""
    return [failed_weather(alice), failed_notification_mail(alice, bob), failed_account_mail(alice)]


def listed(which: Filter = ALL) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = orjson.loads(failed_work.list_failed_work(which, None, 0, 100).items)
    return items


def works() -> list[Work]:
    return [Work(item["kind"], item["id"]) for item in listed()]


def audited() -> list[Any]:
    rows = execute("SELECT action, actor_id, details FROM audit_log WHERE action LIKE 'work.%%' ORDER BY id").fetchall()
    return list(rows)


def test_each_kind_says_what_has_failed_for_whom_and_why(failed: list[Work], alice: Actor, bob: Actor) -> None:
    found = {item["kind"]: item for item in listed()}

    shown = ("what", "user_id", "recipient", "reason", "attempts", "state", "next_attempt_at")
    ends = (1, "given_up", None)
    assert {kind: tuple(item[name] for name in shown) for kind, item in found.items()} == {
        "weather": ("London", alice.user_id, None, "the provider responds 500", *ends),
        "notification_mail": ("delegated", bob.user_id, "bob@example.com", "450", *ends),
        "account_mail": ("email_changed", alice.user_id, "alice@example.com", "ConnectionRefusedError", *ends),
    }
    assert found["weather"]["task_id"] == found["weather"]["id"]
    assert all(item["since"] for item in found.values())


def test_work_that_waits_has_the_time_of_its_next_attempt(alice: Actor) -> None:
    failed_weather(alice, given_up=False)

    (item,) = listed()

    assert item["state"] == "waiting"
    assert item["next_attempt_at"] > item["since"]


def test_work_that_has_not_failed_is_not_listed(alice: Actor) -> None:
    create_task(alice, city="Oslo")
    unknown_city = create_task(alice, city="Nowhere")
    weather.WAITING.settle({"nowhere": Outcome("unavailable")})

    assert listed() == []
    assert failed_work.retry(None, [Work("weather", unknown_city)]).count == 0
    assert failed_work.drop(None, [Work("weather", unknown_city)]).count == 0
    assert audited() == []


def test_a_new_city_has_not_failed(alice: Actor) -> None:
    work = failed_weather(alice)
    tasks.update_task(alice, work.id, {"city": "Oslo"})

    assert listed() == []


@pytest.mark.parametrize(
    ("which", "kinds"),
    [
        (Filter(kind="weather"), ["weather", "weather"]),
        (Filter(state="waiting"), ["weather"]),
        (Filter(kind="account_mail", state="waiting"), []),
        (Filter(kind="account_mail", state="given_up"), ["account_mail"]),
    ],
)
def test_a_list_is_filtered(which: Filter, kinds: list[str], failed: list[Work], alice: Actor) -> None:
    failed_weather(alice, "Oslo", given_up=False)

    assert [item["kind"] for item in listed(which)] == kinds
    assert failed_work.list_failed_work(which, None, 0, 1).total == len(kinds)


def test_pages_neither_skip_nor_repeat_work(failed: list[Work], alice: Actor) -> None:
    execute("UPDATE account_mails SET mail_failing_since = (SELECT min(weather_failing_since) FROM tasks)")
    found, cursor = [], None
    for _ in failed:
        page = failed_work.list_failed_work(Filter(), cursor, 0, 1)
        found += [Work(item["kind"], item["id"]) for item in orjson.loads(page.items)]
        cursor = page.next_cursor

    assert cursor is None
    assert found == works()
    assert sorted(found) == sorted(failed)


@pytest.mark.parametrize("cursor", ["x", "e30=", "WyJ4Iiwid2VhdGhlciIsMV0=", "WyIyMDI2LTAxLTAxIixbXSwxXQ==", "ä"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        failed_work.list_failed_work(Filter(), cursor, 0, 1)


def test_given_up_work_is_due_at_once_and_has_all_its_attempts_again(failed: list[Work], ada: Actor) -> None:
    outcome = failed_work.retry(ada.user_id, failed)

    assert outcome.count == 3
    assert listed() == []
    assert [work.count_due(10) for work in (weather.WAITING, mail.WAITING, account_mails.WAITING)] == [1, 1, 1]
    attempts = "SELECT weather_attempts FROM tasks WHERE city IS NOT NULL UNION SELECT mail_attempts FROM account_mails"
    assert execute(attempts).fetchall() == [(0,)]
    assert audited() == [
        ("work.retried", ada.user_id, {"work": {kind: [row_id] for kind, row_id in failed}}),
    ]


def test_work_that_waits_is_due_soon_but_not_beside_an_attempt_that_may_be_under_way(alice: Actor) -> None:
    work = failed_account_mail(alice, given_up=False)

    assert failed_work.retry(None, [work]).count == 1

    (wait,) = execute("SELECT extract(epoch FROM mail_next_attempt_at - now())::float FROM account_mails").fetchone()
    assert 45 < wait <= 60


def test_a_task_has_a_new_version_and_an_event_when_its_weather_is_tried_again(alice: Actor, ada: Actor) -> None:
    work = failed_weather(alice)
    before = read_task(alice, work.id)

    failed_work.retry(ada.user_id, [work])

    after = read_task(alice, work.id)
    assert (before["weather_status"], after["weather_status"]) == ("unavailable", "pending")
    assert after["version"] == before["version"] + 1
    assert recorded_types(work.id)[-1] == "task.updated"


def test_dropped_work_is_not_tried_any_more(failed: list[Work], alice: Actor, ada: Actor) -> None:
    waiting = failed_weather(alice, "Oslo", given_up=False)
    version = read_task(alice, failed[0].id)["version"]

    outcome = failed_work.drop(ada.user_id, [*failed, waiting])

    assert (outcome.count, listed()) == (4, [])
    assert read_task(alice, waiting.id)["weather_status"] == "unavailable"
    assert recorded_types(waiting.id)[-1] == "task.updated"
    assert read_task(alice, failed[0].id)["version"] == version
    statuses = "SELECT mail_status FROM account_mails UNION ALL SELECT mail_status FROM notifications"
    assert execute(statuses).fetchall() == [(None,), (None,)]
    assert [(action, actor) for action, actor, _ in audited()] == [("work.dropped", ada.user_id)]


def test_all_that_matches_is_changed_in_batches_oldest_first(alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(
        "INSERT INTO tasks (title, user_id, city, city_key, weather_status, weather_error, weather_failing_since)"
        " SELECT 'x', %s, 'Oslo', 'oslo', 'unavailable', 'down', now() - make_interval(mins => n)"
        " FROM generate_series(1, %s) n",
        (alice.user_id, failed_work.MOST_AT_ONCE + 3),
    )
    other = failed_account_mail(alice)

    first = failed_work.retry_matching(None, Filter("weather"))
    newest = listed(Filter("weather"))
    second = failed_work.retry_matching(None, Filter("weather"))

    assert (first.count, first.remaining, len(newest)) == (failed_work.MOST_AT_ONCE, 3, 3)
    assert (second.count, second.remaining) == (3, 0)
    assert works() == [other]


def test_two_admins_who_retry_the_same_work_do_it_once(failed: list[Work], ada: Actor) -> None:
    outcomes = in_parallel(lambda _: failed_work.retry(ada.user_id, failed), 2)

    assert sorted(outcome.count for outcome in outcomes) == [0, 3]
