"""Processes write that they run and what they do; many of them together, and also after an outage of PostgreSQL."""

from typing import Any

import pytest
from peewee import OperationalError
from structlog.testing import capture_logs

from core.activity import CLASSES_MS, Activity, percentile
from core.heartbeat import Heartbeat
from core.services import processes
from core.services.processes import Identity
from tests.polling import wait_until
from tests.sql import execute
from tests.threads import in_parallel

pytestmark = pytest.mark.usefixtures("database")
TOO_LONG = CLASSES_MS[-1] * 2 / 1000


def heartbeat(activity: Activity, name: str = "web-1") -> Heartbeat:
    return Heartbeat(Identity("web", name), activity)


def done(activity: Activity, name: str = "GET /x", seconds: float = 0.004, **outcome: bool) -> None:
    activity.observe("request", name, seconds, **outcome)


def test_a_process_is_listed_once_however_often_its_heart_beats() -> None:
    activity = Activity()
    activity.open_sockets = lambda: 3
    beating = heartbeat(activity)

    beating.beat()
    beating.beat()

    (listed,) = processes.list_processes()
    assert (listed["kind"], listed["name"], listed["sockets"], listed["state"]) == ("web", "web-1", 3, "ok")
    assert listed["memory_bytes"] > 1_000_000
    assert listed["version"]


def test_a_silent_process_is_bad_and_then_forgotten() -> None:
    heartbeat(Activity()).beat()
    execute("UPDATE processes SET heartbeat_at = now() - interval '31 seconds'")
    processes.forget_old()
    silent = processes.list_processes()
    execute("UPDATE processes SET heartbeat_at = now() - interval '6 minutes'")
    processes.forget_old()

    assert [process["state"] for process in silent] == ["bad"]
    assert processes.list_processes() == []


def test_a_process_that_ends_writes_its_last_counts_and_is_not_listed_any_more() -> None:
    activity = Activity()
    beating = heartbeat(activity)
    beating.start()
    wait_until(processes.list_processes)
    done(activity)

    beating.stop()

    assert processes.list_processes() == []
    assert [row["number"] for row in processes.list_activity("request")] == [1]


def test_what_several_processes_do_at_the_same_time_is_added_up() -> None:
    def work(number: int) -> None:
        activity = Activity()
        for name in ("GET /a", "GET /b")[:: 1 if number % 2 else -1]:
            done(activity, name)
            done(activity, name, 0.2, refused=True)
            done(activity, name, TOO_LONG, failed=True)
        heartbeat(activity).beat()

    in_parallel(work, 6)

    listed = processes.list_activity("request")
    assert [(row["name"], row["number"], row["refused"], row["failed"]) for row in listed] == [
        ("GET /a", 18, 6, 6),
        ("GET /b", 18, 6, 6),
    ]
    assert all(row["p50_ms"] <= 200 < row["p99_ms"] for row in listed)
    assert processes.list_activity("job") == []


def test_what_was_done_long_ago_is_not_listed_and_is_forgotten() -> None:
    activity = Activity()
    done(activity)
    heartbeat(activity).beat()
    execute("UPDATE activity SET minute = minute - interval '16 minutes'")
    listed = processes.list_activity("request")
    execute("UPDATE activity SET minute = minute - interval '2 hours'")
    processes.forget_old()

    assert listed == []
    assert execute("SELECT count(*) FROM activity").fetchone() == (0,)


def test_counts_are_kept_while_they_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    activity = Activity()
    beating = heartbeat(activity)

    def fail(*_: Any, **__: Any) -> None:
        done(activity)
        raise OperationalError

    done(activity)
    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr(processes, "beat", fail)
        beating.beat()
        beating.beat()
    with capture_logs() as later_lines:
        beating.beat()
        beating.beat()

    assert [line["event"] for line in lines] == ["heartbeat_interrupted"]
    assert [line["event"] for line in later_lines] == ["heartbeat_recovered"]
    assert [row["number"] for row in processes.list_activity("request")] == [3]


@pytest.mark.parametrize(
    ("durations", "share", "expected"),
    [
        ([], 0.5, None),
        ([0.0005], 1.0, 1.0),
        ([0.004, 0.004], 0.5, 4.0),
        ([0.004] * 99 + [0.9], 0.5, 4.0),
        ([0.004] * 98 + [0.9] * 2, 0.99, 850.0),
        ([TOO_LONG], 0.5, float(CLASSES_MS[-1])),
    ],
)
def test_a_percentile_is_interpolated_within_its_class(
    durations: list[float], share: float, expected: float | None
) -> None:
    activity = Activity()
    for seconds in durations:
        done(activity, seconds=seconds)
    classes = [number for tally in activity.take().values() for number in tally.classes]

    found = percentile(classes, share)

    assert found == expected if expected is None else found == pytest.approx(expected, rel=0.02)
