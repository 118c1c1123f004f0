"""How many tasks, groups, personal tokens and comments one user may have.

Groups and tokens are counted exactly: requests of one user that make them wait for each other. Tasks and comments are
not delayed in this way, so requests that are served at the same time may exceed their quota by what they make.
"""

from typing import Final

from core.db import read
from core.errors import TooLarge
from core.policy import Actor
from core.services.sessions import session_ended

# Like an upload, this takes the weakest lock of the account that conflicts with itself.
_LOCK_USER = "SELECT id FROM users WHERE id = %(user_id)s FOR NO KEY UPDATE"

# With OFFSET, PostgreSQL reads at most as many entries of the index as the quota allows.
_COMMENTS_ARE_FULL = "SELECT EXISTS (SELECT FROM comments WHERE user_id = %(user_id)s OFFSET %(quota)s - 1)"

# The smallest row of the table `analytics_deltas`, in bytes, with its pointer in the page.
_BYTES_OF_DELTA: Final = 60

TASKS_ARE_FULL: Final = f"""(
    SELECT CASE WHEN folded.tasks + pg_relation_size('analytics_deltas') / {_BYTES_OF_DELTA} < %(quota)s THEN false
                ELSE folded.tasks + (SELECT coalesce(sum(change), 0) FROM analytics_deltas
                                     WHERE user_id = %(user_id)s) >= %(quota)s END
    FROM (SELECT coalesce((SELECT tasks FROM task_totals WHERE user_id = %(user_id)s), 0) AS tasks) folded
)"""
"""The SQL expression of whether a user, `user_id`, has used up the `quota` of tasks.

It is a part of the statement that makes a task, so it costs no round trip, and it counts no tasks. The deltas that are
not folded yet are added up only for a user who could be over the quota if all of them were new tasks of that user. How
many there can be at most follows from the size of their table. Counting them, or comparing the ids of the first and the
last, would read the whole table if the statement was prepared while the table was empty: the plan stays.
"""


def lock_user(actor: Actor) -> None:
    """Let other requests of the caller that count something exactly wait for the running unit of work.

    Raises:
        Unauthenticated: if the account was deleted meanwhile.
    """
    if read(_LOCK_USER, {"user_id": actor.user_id}).fetch_one() is None:
        raise session_ended()


def comments_are_full(actor: Actor, quota: int) -> bool:
    """Whether the caller has used up the quota of comments."""
    return bool(read(_COMMENTS_ARE_FULL, {"user_id": actor.user_id, "quota": quota}).fetch_value())


def exceeded(detail: str) -> TooLarge:
    """Return the failure of a request that would exceed a quota."""
    return TooLarge(detail, code="quota_exceeded")
