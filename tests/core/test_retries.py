"""`WaitingWork` claims, retries, gives up and finds work in any table that has the needed columns."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from core.config import Settings
from core.jobs import Job, JobRequest
from core.retries import Outcome, RetryPolicy, WaitingWork, send_due, send_overdue
from tests.job_context import job_context
from tests.sql import execute
from tests.threads import in_parallel

POLICY = RetryPolicy(attempts=2, first_wait=60, longest_wait=90)


@pytest.fixture(autouse=True)
def _parcels(database: None) -> Iterator[None]:
    """A table with three waiting rows, two of which have the same key."""
    execute("""
        CREATE TABLE parcels (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            town text NOT NULL,
            user_id bigint NOT NULL DEFAULT 1,
            receipt text,
            ride_status text DEFAULT 'pending',
            ride_attempts integer NOT NULL DEFAULT 0,
            ride_next_attempt_at timestamptz NOT NULL DEFAULT now() - interval '1 minute',
            ride_error text,
            ride_failing_since timestamptz);
        INSERT INTO parcels (town) VALUES ('Graz'), ('Graz'), ('Linz');
    """)
    yield
    execute("DROP TABLE parcels")


@pytest.fixture
def recorded() -> list[tuple[int, str | None]]:
    return []


@pytest.fixture
def rides(recorded: list[tuple[int, str | None]]) -> WaitingWork[str]:
    return WaitingWork(
        table="parcels",
        prefix="ride",
        key="town",
        given_up="lost",
        also_set="receipt = end_result #>> ARRAY[]::text[]",
        record=lambda statuses: recorded.extend(sorted(statuses.items())),
    )


def make_due() -> None:
    execute("UPDATE parcels SET ride_next_attempt_at = now() - interval '1 minute'")


def statuses() -> list[tuple[str, int]]:
    return list(execute("SELECT ride_status, ride_attempts FROM parcels ORDER BY id").fetchall())


def test_a_claim_takes_all_rows_of_its_key_once(rides: WaitingWork[str]) -> None:
    assert [rides.claim(["Graz"], POLICY), rides.claim(["Graz", "Linz"], POLICY)] == [{"Graz": [1, 2]}, {"Linz": [3]}]
    assert statuses() == [("pending", 1)] * 3


def test_the_waits_double_up_to_the_maximum_with_random_variation(rides: WaitingWork[str]) -> None:
    waits = []
    for _ in range(3):
        rides.claim(["Linz"], POLICY)
        (wait,) = execute(
            "SELECT extract(epoch FROM ride_next_attempt_at - now())::float FROM parcels WHERE town = 'Linz'"
        ).fetchone()
        waits.append(wait)
        make_due()

    bounds = [(25, 60), (40, 90), (40, 90)]
    assert [low < wait <= high for wait, (low, high) in zip(waits, bounds, strict=True)] == [True] * 3


def test_settled_work_has_the_result_of_its_key_and_is_recorded(
    rides: WaitingWork[str], recorded: list[tuple[int, str | None]]
) -> None:
    signed, refused = Outcome("there", '"signed"'), Outcome("lost")

    assert rides.settle({"Graz": signed, "Linz": refused}) == 3

    rows = execute("SELECT id, ride_status, receipt FROM parcels ORDER BY id").fetchall()
    assert [row[1:] for row in rows] == [("there", "signed")] * 2 + [("lost", None)]
    assert recorded == [(row[0], row[1]) for row in rows]
    assert rides.settle({"Graz": refused}) == 0


def test_work_stays_pending_if_its_end_cannot_be_recorded(rides: WaitingWork[str]) -> None:
    def fail(_statuses: Mapping[int, str | None]) -> None:
        raise LookupError

    broken = WaitingWork[str](table="parcels", prefix="ride", key="town", given_up="lost", record=fail)

    pytest.raises(LookupError, broken.settle, {"Graz": Outcome("there")})
    assert [status for status, _ in statuses()] == ["pending"] * 3


def test_work_is_given_up_after_its_last_attempt_and_not_before(rides: WaitingWork[str]) -> None:
    given_up = []
    for _ in range(POLICY.attempts):
        rides.claim(["Linz"], POLICY)
        given_up.append(rides.give_up(["Linz"], POLICY, "no horse"))
        make_due()

    assert given_up == [0, 1]
    assert statuses()[2] == ("lost", 2)


def test_work_is_not_given_up_while_its_last_attempt_may_still_run(rides: WaitingWork[str]) -> None:
    for _ in range(POLICY.attempts):
        make_due()
        rides.claim(["Linz"], POLICY)

    running = rides.give_up_lost(["Linz"], POLICY)
    make_due()

    assert (running, rides.give_up_lost(["Linz"], POLICY)) == (0, 1)


def test_postponed_work_waits_as_if_it_had_not_been_begun(rides: WaitingWork[str]) -> None:
    rides.claim(["Graz"], POLICY)
    make_due()
    claimed = rides.claim(["Graz", "Linz"], POLICY)
    execute("UPDATE parcels SET ride_attempts = 0, ride_next_attempt_at = now() WHERE id = 2")  # It has begun anew.
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    rides.postpone([row_id for row_ids in claimed.values() for row_id in row_ids], tomorrow, 60)

    (first, second, third) = (
        at for (at,) in execute("SELECT ride_next_attempt_at FROM parcels ORDER BY id").fetchall()
    )
    assert statuses() == [("pending", 1), ("pending", 0), ("pending", 0)]
    assert tomorrow <= first == third <= tomorrow + timedelta(minutes=1)
    assert second < tomorrow


def failures() -> list[tuple[str | None, datetime | None]]:
    rows = execute("SELECT ride_error, ride_failing_since FROM parcels WHERE town = 'Linz'").fetchall()
    return list(rows)


def test_the_reason_of_the_last_failure_and_the_time_of_the_first_are_kept(rides: WaitingWork[str]) -> None:
    rides.claim(["Linz"], POLICY)
    rides.give_up(["Linz"], POLICY, "no horse")
    ((first_reason, since),) = failures()
    make_due()
    rides.claim(["Linz"], POLICY)
    rides.give_up(["Linz"], POLICY, "no road" * 1000)

    ((last_reason, still_since),) = failures()
    assert (first_reason, last_reason and last_reason[:10]) == ("no horse", "no roadno ")
    assert len(last_reason or "") == 300
    assert since is not None
    assert since == still_since


def test_work_that_succeeds_in_the_end_has_no_failure(rides: WaitingWork[str]) -> None:
    rides.claim(["Linz"], POLICY)
    rides.give_up(["Linz"], POLICY, "no horse")
    rides.settle({"Linz": Outcome("there")})

    assert failures() == [(None, None)]


def test_a_refusal_gives_work_up_at_its_first_attempt(rides: WaitingWork[str]) -> None:
    rides.claim(["Linz"], POLICY)

    assert rides.refuse(["Linz"], "nobody lives there") == 1
    assert statuses()[2] == ("lost", 1)
    assert failures()[0][0] == "nobody lives there"


def test_work_that_kills_its_process_each_time_has_a_reason_when_it_is_given_up(rides: WaitingWork[str]) -> None:
    for _ in range(POLICY.attempts):
        make_due()
        rides.claim(["Linz"], POLICY)
    make_due()
    rides.give_up_lost(["Linz"], POLICY)

    ((reason, since),) = failures()
    assert reason == "its job has killed its process"
    assert since is not None


def test_each_overdue_key_is_found_once_oldest_first(rides: WaitingWork[str]) -> None:
    execute("UPDATE parcels SET ride_next_attempt_at = now() - interval '1 hour' WHERE town = 'Linz'")

    assert rides.overdue(10) == ["Linz", "Graz"]
    assert rides.overdue(1) == ["Linz"]
    assert rides.has_overdue()

    execute("UPDATE parcels SET ride_next_attempt_at = now()")
    assert (rides.overdue(10), rides.has_overdue()) == ([], False)


@pytest.mark.parametrize(("queued", "sent"), [(0, ["Graz", "Linz"]), (499, ["Graz"]), (500, []), (9000, [])])
def test_jobs_are_sent_for_overdue_work_up_to_the_queue_limit(
    queued: int,
    sent: list[str],
    rides: WaitingWork[str],
    settings: Settings,
    redis: Redis,
) -> None:
    requests: list[JobRequest] = []
    context = job_context(settings, redis, requests.append, queue_length=lambda _queue: queued)
    ride = Job[str]("parcels.ride", queue="rides")
    execute("UPDATE parcels SET ride_next_attempt_at = now() - interval '1 hour' WHERE town = 'Graz'")

    assert send_overdue(context, ride, rides) == len(sent)
    assert requests == [JobRequest("parcels.ride", (town,)) for town in sent]


class TestTurns:
    """Users take turns, and a user without due work has none."""

    @pytest.fixture(autouse=True)
    def _parcels_of_two(self, _parcels: None) -> None:
        execute("TRUNCATE parcels; TRUNCATE turns")
        execute("INSERT INTO parcels (user_id, town) SELECT 1, 'Graz ' || n FROM generate_series(1, 4) n")
        execute("INSERT INTO parcels (user_id, town) VALUES (2, 'Linz'), (2, 'Wels')")

    def take(self, rides: WaitingWork[str], times: int) -> list[str | None]:
        keys = []
        for _ in range(times):
            key = rides.next_key()
            if key is not None:
                rides.claim([key], POLICY)
            keys.append(key)
        return keys

    def test_users_take_turns_until_nothing_is_due(self, rides: WaitingWork[str]) -> None:
        assert self.take(rides, 7) == ["Graz 1", "Linz", "Graz 2", "Wels", "Graz 3", "Graz 4", None]

    def test_a_user_who_comes_later_is_next(self, rides: WaitingWork[str]) -> None:
        before = self.take(rides, 5)
        execute("INSERT INTO parcels (user_id, town) VALUES (3, 'Steyr')")

        assert before[4:] + self.take(rides, 1) == ["Graz 3", "Steyr"]

    def test_a_user_whose_work_is_put_off_has_no_turn(self, rides: WaitingWork[str]) -> None:
        execute("UPDATE parcels SET ride_next_attempt_at = now() + interval '1 minute' WHERE user_id = 1")

        assert self.take(rides, 3) == ["Linz", "Wels", None]

    def test_work_that_is_not_claimed_is_offered_again(self, rides: WaitingWork[str]) -> None:
        """A worker may die between its turn and its claim."""
        assert [rides.next_key() for _ in range(3)] == ["Graz 1", "Linz", "Graz 1"]

    def test_several_turns_at_once_are_those_that_would_follow_each_other(self, rides: WaitingWork[str]) -> None:
        batches = []
        for _ in range(3):
            with rides.turns(3) as keys:
                batches.append(keys)
                rides.claim(keys, POLICY)

        assert batches == [["Graz 1", "Linz", "Graz 2"], ["Wels", "Graz 3", "Graz 4"], []]

    def test_a_key_on_which_a_process_works_is_not_offered_to_another(self, rides: WaitingWork[str]) -> None:
        def take_meanwhile(_: int) -> list[str]:
            with rides.turns(2) as keys:
                return keys

        with rides.turns(3) as first:
            (second,) = in_parallel(take_meanwhile, 1)
        (third,) = in_parallel(take_meanwhile, 1)

        assert (first, second) == (["Graz 1", "Linz", "Graz 2"], ["Wels", "Graz 3"])
        assert set(third) == {"Graz 1", "Linz"}

    def test_a_key_that_two_users_wait_for_is_a_turn_of_both(self, rides: WaitingWork[str]) -> None:
        execute("UPDATE parcels SET town = 'Linz'")

        with rides.turns(2) as keys:
            pass

        assert keys == ["Linz"]
        assert execute("SELECT user_id FROM turns ORDER BY user_id").fetchall() == [(1,), (2,)]

    @pytest.mark.parametrize(("queued", "sent"), [(0, 6), (4, 2), (6, 0), (20, 0)])
    def test_one_job_is_sent_for_each_due_row_that_has_none_in_the_queue(
        self, queued: int, sent: int, rides: WaitingWork[str], settings: Settings, redis: Redis
    ) -> None:
        requests: list[JobRequest] = []
        context = job_context(settings, redis, requests.append, queue_length=lambda _queue: queued)

        assert send_due(context, Job[()]("parcels.ride", queue="rides"), rides) == sent
        assert requests == [JobRequest("parcels.ride")] * sent

    def test_the_queue_holds_few_jobs_however_much_is_due(
        self, rides: WaitingWork[str], settings: Settings, redis: Redis
    ) -> None:
        execute("INSERT INTO parcels (town) SELECT 'Graz ' || n FROM generate_series(5, 100) n")

        assert send_due(job_context(settings, redis), Job[()]("parcels.ride", queue="rides"), rides) == 20
