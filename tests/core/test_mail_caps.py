"""Caps on mails: exact with many workers, and one line in the log for each subject."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from core.db import unit_of_work
from core.mail_caps import Admission, Cap
from tests.polling import wait_until
from tests.sql import execute
from tests.threads import disconnecting, in_parallel

pytestmark = pytest.mark.usefixtures("database")

ALL, SENDER = Cap("all", 10), Cap("sender 1", 3)


def counts() -> dict[str, tuple[int, int]]:
    rows = execute("SELECT subject, mails, refused FROM mail_counts").fetchall()
    return {subject: (mails, refused) for subject, mails, refused in rows}


def is_admitted(*caps: Cap) -> bool:
    return not Admission.of(caps).exceeded


def test_a_mail_over_one_cap_counts_for_none() -> None:
    assert [is_admitted(ALL, SENDER) for _ in range(5)] == [True, True, True, False, False]

    assert counts() == {"all": (3, 0), "sender 1": (3, 2)}


def test_the_cap_is_exact_with_parallel_workers() -> None:
    others = [Cap(f"sender {number}", 100) for number in range(2)]

    admitted = in_parallel(lambda number: is_admitted(others[number % 2], ALL), 24)

    assert sum(admitted) == ALL.mails
    assert counts()["all"] == (10, 14)


def test_a_cap_is_logged_once_in_its_period() -> None:
    with capture_logs() as lines:
        for _ in range(6):
            Admission.of([SENDER])

    assert lines == [{"event": "mails_capped", "log_level": "warning", "subject": "sender 1", "mails": 3}]


@pytest.mark.parametrize(("period", "earlier"), [("hour", "1 hour"), ("day", "1 day")])
def test_each_period_has_its_own_count(period: str, earlier: str) -> None:
    cap = Cap("all", 1, "hour" if period == "hour" else "day")
    admitted = [is_admitted(cap), is_admitted(cap)]
    with unit_of_work():
        execute("UPDATE mail_counts SET period_start = period_start - %s::interval", (earlier,))

    assert [*admitted, is_admitted(cap)] == [True, False, True]


def test_a_mail_that_was_not_sent_is_counted_no_longer() -> None:
    for _ in range(5):
        Admission.of([ALL, SENDER]).take_back()

    assert counts() == {"all": (0, 0), "sender 1": (0, 0)}


def test_counts_are_taken_back_in_the_order_in_which_they_are_made() -> None:
    """Otherwise, while the mail server is down, one worker that counts and another that takes back could deadlock."""
    # Of so many rows, PostgreSQL hardly ever happens to lock that of all mails first, unless it is told to: it is
    # changed last, so it is stored behind the others.
    admission = Admission.of([ALL, *(Cap(f"sender {number}", 10) for number in range(30))])
    Admission.of([ALL])

    with ThreadPoolExecutor(1) as pool:
        with unit_of_work():
            execute("SELECT FROM mail_counts WHERE subject = 'all' FOR UPDATE")
            taken_back = pool.submit(disconnecting(admission.take_back))
            wait_until(lambda: execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()[0])
            execute("SELECT FROM mail_counts WHERE subject <> 'all' FOR UPDATE NOWAIT")
        taken_back.result()

    assert [count for count in counts().items() if count[1] != (0, 0)] == [("all", (1, 0))]
