"""Feedback: all users can give it, and admins read it. It is kept when the account of the user is deleted."""

from core.db import unit_of_work
from core.models.feedback import Feedback
from core.policy import Actor
from core.representations import (
    Page,
    Representation,
    fetch_page,
    page_statement,
    write_one,
)

_ALL = page_statement(Feedback, where="%(rating)s::smallint IS NULL OR rating = %(rating)s", order="id DESC")


def give_feedback(actor: Actor, rating: int, message: str | None) -> Representation:
    """Store the caller's feedback."""
    with unit_of_work():
        return write_one(Feedback.insert(user_id=actor.user_id, rating=rating, message=message))


def list_feedback(rating: int | None, skip: int, limit: int) -> Page:
    """Read a page of the feedback, the newest first, of one rating or of all."""
    return fetch_page(_ALL, skip, limit, rating=rating)
