"""Fill a database with the demonstration: people, groups, feedback, and 60 days of tasks with everything around them.

The rows of tasks are written directly, because a use case gives what it makes the present time. They do not get into
the event log, which is for listeners: nobody listens to a demonstration of the past.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from peewee import Model

from core.db import connected, unit_of_work
from core.demo.outdoors import write_sites
from core.demo.tasks import DAYS, Row, Rows, TaskMaker, Team
from core.demo.texts import FEEDBACK, GROUPS, PEOPLE, Person
from core.models.account import User
from core.models.analytics import WeatherOutcome
from core.models.collaboration import Comment, Reminder, TaskActivity
from core.models.feedback import Feedback
from core.models.notification import Notification
from core.models.task import Task
from core.policy import Actor
from core.services import accounts, analytics, feedback, groups
from core.services.notifications import KINDS

TASKS: Final = 500
_GROUP_QUOTA: Final = 200
_BETWEEN_FEEDBACK: Final = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Seeded:
    """How much was written."""

    people: int
    groups: int
    tasks: int
    comments: int
    reminders: int


def has_accounts() -> bool:
    """Whether the database has any account."""
    with connected():
        return bool(User.select().exists())


def seed(number: int, password_hash: str, now: datetime) -> Seeded:
    """Write the demonstration, all of it or nothing; the same number gives the same data, relative to `now`.

    Everybody gets the password of the hash, and nobody is sent mails.

    Raises:
        Rejected: with code `account_taken`, if somebody has the email or the username of one of the people.
    """
    chance = random.Random(number)  # noqa: S311 - this chooses texts, not secrets.
    with unit_of_work():
        people = {person.username: _make_account(person, password_hash, now) for person in PEOPLE}
        teams = [_make_group(name, members, people) for name, members in GROUPS.items()]
        by_id = {people[person.username].user_id: person for person in PEOPLE}
        maker = TaskMaker(chance, now, by_id, teams, write_sites(now))
        rows = Rows()
        for created_at in sorted(maker.moment_of_creation() for _ in range(TASKS)):
            maker.add_task(rows, created_at)
        _write(rows)
        _give_feedback(people, now)
    analytics.fold()
    return Seeded(len(people), len(teams), len(rows.tasks), sum(map(len, rows.comments)), sum(map(len, rows.reminders)))


def _make_account(person: Person, password_hash: str, now: datetime) -> Actor:
    profile = accounts.register(
        username=person.username,
        email=person.email,
        full_name=person.full_name,
        password_hash=password_hash,
        role=person.role,
        is_verified=True,
    )
    User.update(
        locale=person.locale,
        timezone=person.timezone,
        unwanted_mail=list(KINDS),
        weather_rule=person.rule,
        working_hours=person.working_hours,
        created_at=now - timedelta(days=DAYS + 1),
    ).where(User.id == profile.id).execute()
    # The account has no session: nobody has signed in.
    return Actor(profile.id, person.role, 0)


def _make_group(name: str, members: Sequence[str], people: dict[str, Actor]) -> Team:
    creator, *others = (people[member] for member in members)
    group_id = groups.create_group(creator, name, _GROUP_QUOTA).id
    for other in others:
        groups.put_member(creator, group_id, other.user_id, is_manager=False)
    return Team(group_id, (creator.user_id, *(other.user_id for other in others)))


def _give_feedback(people: dict[str, Actor], now: datetime) -> None:
    given_at = now - (len(FEEDBACK) + 1) * _BETWEEN_FEEDBACK
    for username, (rating, message) in FEEDBACK.items():
        actor = people[username]
        feedback.give_feedback(actor, rating, message)
        given_at += _BETWEEN_FEEDBACK
        Feedback.update(created_at=given_at).where(Feedback.user_id == actor.user_id).execute()


def _write(rows: Rows) -> None:
    ids = [task_id for (task_id,) in Task.insert_many(rows.tasks).returning(Task.id).tuples().execute()]
    for model, lists in (
        (Comment, rows.comments),
        (Reminder, rows.reminders),
        (TaskActivity, rows.history),
        (Notification, rows.news),
        (WeatherOutcome, rows.outcomes),
    ):
        pairs = zip(ids, lists, strict=True)
        _insert(model, [row | {"task_id": task_id} for task_id, of_task in pairs for row in of_task])


def _insert(model: type[Model], rows: list[Row]) -> None:
    if rows:
        model.insert_many(sorted(rows, key=lambda row: row.get("created_at") or row["at"])).execute()
