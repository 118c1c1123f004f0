"""Days in the time zone of the caller's profile: filters of lists, and deadlines without a time."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.api.callers import Caller, create_task, invalid_fields

PATH = "/api/v1/tasks"


def move_to(caller: Caller, zone: str) -> None:
    assert caller.patch("/api/v1/auth/me", json={"timezone": zone}).status_code == 200


def titles(caller: Caller, query: str) -> list[str]:
    return [task["title"] for task in caller.get(f"{PATH}?sort=title&{query}").json()["items"]]


@pytest.mark.parametrize(
    ("zone", "due_at", "day"),
    [
        ("America/Los_Angeles", "2026-07-01T19:00:00-07:00", "2026-07-01"),
        ("Asia/Tokyo", "2026-07-01T08:00:00+09:00", "2026-07-01"),
        ("Asia/Kathmandu", "2026-07-01T00:00:00+05:45", "2026-07-01"),
        # The last hour of the day on which the clocks are set back, and the first one when they are set forward.
        ("Europe/Berlin", "2026-10-25T23:30:00+01:00", "2026-10-25"),
        ("Europe/Berlin", "2026-03-29T00:30:00+01:00", "2026-03-29"),
    ],
)
def test_a_task_is_found_on_its_day_in_the_time_zone_of_the_reader(
    as_alice: Caller, zone: str, due_at: str, day: str
) -> None:
    move_to(as_alice, zone)
    create_task(as_alice, title="due", due_at=due_at)
    before, after = (datetime.fromisoformat(day).date() + timedelta(days=step) for step in (-1, 1))

    assert titles(as_alice, f"due_from={day}&due_to={day}") == ["due"]
    assert titles(as_alice, f"due_to={before}") == titles(as_alice, f"due_from={after}") == []


def test_the_day_of_creation_is_that_of_the_reader_too(as_alice: Caller) -> None:
    # In one of these zones the day is not the day in UTC, at any time.
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        move_to(as_alice, zone)
        create_task(as_alice, title=zone)
        today = datetime.now(ZoneInfo(zone)).date()

        assert zone in titles(as_alice, f"created_from={today}&created_to={today}")
        assert zone in titles(as_alice, "created_from=today&created_to=today")
        assert titles(as_alice, f"created_to={today - timedelta(days=1)}") == []


def test_a_task_due_on_a_day_is_found_on_this_day_by_readers_in_all_zones(
    as_alice: Caller, as_bob: Caller, as_mallory: Caller
) -> None:
    move_to(as_alice, "Pacific/Kiritimati")
    move_to(as_bob, "Pacific/Pago_Pago")
    bob_id = as_bob.get("/api/v1/auth/me").json()["id"]
    task = create_task(as_alice, title="due", due_on="2026-07-01", assignee_id=bob_id)

    assert (task["due_on"], task["due_at"]) == ("2026-07-01", "2026-07-01T09:59:59+00:00")
    for reader in (as_alice, as_bob):
        assert titles(reader, "due_from=2026-07-01&due_to=2026-07-01") == ["due"]
        assert titles(reader, "due_to=2026-06-30") == titles(reader, "due_from=2026-07-02") == []
    assert titles(as_mallory, "due_from=2026-07-01&due_to=2026-07-01") == []


def test_a_point_in_time_means_the_same_in_all_zones(as_alice: Caller) -> None:
    move_to(as_alice, "Asia/Tokyo")
    create_task(as_alice, title="due", due_at="2026-07-01T12:00:00Z")

    assert titles(as_alice, "due_from=2026-07-01T12:00:00Z&due_to=2026-07-01T12:00:00Z") == ["due"]
    assert titles(as_alice, "due_from=2026-07-01T12:00:01Z") == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"due_on": "2026-02-30"}, ["due_on"]),
        ({"due_on": "2026-07-01T00:00:00Z"}, ["due_on"]),
        ({"due_on": "2026-07-01", "due_at": "2026-07-01T12:00:00Z"}, ["due_at"]),
    ],
)
def test_a_wrong_day_is_refused(as_alice: Caller, body: dict[str, str], fields: list[str]) -> None:
    assert invalid_fields(as_alice.post(PATH, json={"title": "x"} | body)) == fields


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_exported_day_can_be_imported_in_another_zone(as_alice: Caller, as_bob: Caller, form: str) -> None:
    create_task(as_alice, title="due", due_on="2026-07-01")
    move_to(as_bob, "America/Los_Angeles")
    exported = as_alice.get(f"/api/v1/tasks/export?format={form}")

    headers = {"Content-Type": exported.headers["Content-Type"]}
    report = as_bob.post("/api/v1/tasks/import", data=exported.content, headers=headers).json()

    assert report == {"created": 1, "failed": 0, "errors": []}
    (task,) = as_bob.get(PATH).json()["items"]
    assert (task["due_on"], task["due_at"]) == ("2026-07-01", "2026-07-02T06:59:59+00:00")
