"""Feedback: anybody who has logged in gives it, admins read it. It outlives the account that gave it."""

from typing import Final

from core.db import read, unit_of_work, write
from core.policy import Actor
from core.representations import Page, Representation, fetch_page

_FIELDS: Final = "id, user_id, rating, message, created_at"

_GIVE = f"""
WITH given AS (
    INSERT INTO feedback (user_id, rating, message) VALUES (%(user_id)s, %(rating)s, %(message)s) RETURNING {_FIELDS}
)
SELECT id, row_to_json(given)::text FROM given
"""

_READ = f"""
SELECT coalesce(json_agg(page), '[]')::text, (
    SELECT count(*) FROM feedback WHERE %(rating)s::smallint IS NULL OR rating = %(rating)s
) FROM (
    SELECT {_FIELDS} FROM feedback
    WHERE %(rating)s::smallint IS NULL OR rating = %(rating)s
    ORDER BY id DESC OFFSET %(skip)s LIMIT %(limit)s
) page
"""

_GIVEN_BY = f"""
SELECT coalesce(json_agg(own ORDER BY id), '[]')::text FROM (
    SELECT {_FIELDS} FROM feedback WHERE user_id = %(user_id)s
) own
"""


def give_feedback(actor: Actor, rating: int, message: str | None) -> Representation:
    """Keep what the caller thinks."""
    with unit_of_work():
        return Representation(
            *write(_GIVE, {"user_id": actor.user_id, "rating": rating, "message": message}).fetch_exactly_one()
        )


def list_feedback(rating: int | None, skip: int, limit: int) -> Page:
    """Read a page of the feedback, the newest first, of one rating or of all."""
    return fetch_page(_READ, {"rating": rating, "skip": skip, "limit": limit})


def feedback_of(actor: Actor) -> str:
    """All feedback of the caller, as a JSON array."""
    return str(read(_GIVEN_BY, {"user_id": actor.user_id}).fetch_value())
