"""Fill a database with the demonstration: people, groups, and the tasks of 60 days with everything around them.

The rows of tasks are written directly, because a use case gives what it makes the present time. They do not get into
the event log, which is for listeners: nobody listens to a demonstration of the past.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from peewee import Model

from core.db import connected, unit_of_work
from core.demo.climate import PLACES, Place, conditions
from core.demo.texts import COMMENTS, GROUPS, PEOPLE, WHERE, WORK, Person
from core.models.account import User
from core.models.collaboration import Comment, Reminder, TaskActivity
from core.models.notification import Notification
from core.models.task import PRIORITIES, Task
from core.policy import Actor
from core.services import accounts, analytics, groups
from core.services.notifications import ASSIGNED, COMMENTED, KINDS
from core.weather import WeatherReport, city_key
from core.weather.conditions import CONDITIONS

TASKS: Final = 500
DAYS: Final = 60
_PRIORITY_WEIGHTS: Final = (2, 5, 2, 1)
_GROUP_QUOTA: Final = 200
_FRESH: Final = timedelta(hours=6)
_NEWS: Final = timedelta(days=7)
_HOUR: Final = 3600
_SATURDAY: Final = 5
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seeded:
    """How much was written."""

    people: int
    groups: int
    tasks: int
    comments: int
    reminders: int


@dataclass
class _Rows:
    """What belongs to the tasks: one list for each of them, in their order."""

    tasks: list[Row] = field(default_factory=list)
    comments: list[list[Row]] = field(default_factory=list)
    reminders: list[list[Row]] = field(default_factory=list)
    history: list[list[Row]] = field(default_factory=list)
    news: list[list[Row]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Team:
    group_id: int
    members: tuple[int, ...]


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
        maker = _TaskMaker(chance, now, {people[each.username].user_id: each.full_name for each in PEOPLE}, teams)
        rows = _Rows()
        for created_at in sorted(maker.moment_of_creation() for _ in range(TASKS)):
            maker.add_task(rows, created_at)
        _write(rows)
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
        created_at=now - timedelta(days=DAYS + 1),
    ).where(User.id == profile.id).execute()
    # The account has no session: nobody has signed in.
    return Actor(profile.id, person.role, 0)


def _make_group(name: str, members: Sequence[str], people: dict[str, Actor]) -> _Team:
    creator, *others = (people[member] for member in members)
    group_id = groups.create_group(creator, name, _GROUP_QUOTA).id
    for other in others:
        groups.put_member(creator, group_id, other.user_id, is_manager=False)
    return _Team(group_id, (creator.user_id, *(other.user_id for other in others)))


class _TaskMaker:
    """Makes tasks with everything around them. The texts of notifications name people as `names` does, by id."""

    def __init__(self, chance: random.Random, now: datetime, names: dict[int, str], teams: Sequence[_Team]) -> None:
        self._chance = chance
        self._now = now
        self._names = names
        self._teams = teams

    def moment_of_creation(self) -> datetime:
        """Return a time in the last days, more often on a weekday than on a weekend."""
        while True:
            moment = self._now - timedelta(seconds=self._chance.uniform(60, DAYS * 24 * _HOUR))
            if moment.weekday() < _SATURDAY or self._happens(0.3):
                return moment

    def add_task(self, rows: _Rows, created_at: datetime) -> None:
        """Add a task, and what has happened to it since."""
        chance, now = self._chance, self._now
        team = chance.choice(self._teams) if self._happens(0.45) else None
        people = team.members if team else tuple(self._names)
        owner = chance.choice(people)
        assignee = chance.choice(people) if self._happens(0.5) else None
        title, description = chance.choice(WORK)
        task: Row = {
            "title": f"{title} {chance.choice(WHERE)}",
            "description": description,
            "priority": chance.choices(PRIORITIES, _PRIORITY_WEIGHTS)[0],
            "user_id": owner,
            "assignee_id": assignee,
            "group_id": team.group_id if team else None,
            "created_at": created_at,
            "due_at": self._deadline(created_at) if self._happens(0.8) else None,
        }
        history = [_entry("task.created", created_at, owner)]
        task |= self._weather(created_at, history)
        task |= self._progress(task, assignee or owner, history)
        comments = self._comments(task, people, history)
        task["version"] = 1 + sum(entry["type"] in {"task.updated", "task.enriched"} for entry in history)
        task["updated_at"] = max(entry["at"] for entry in history if entry["type"] != "task.commented")
        task["overdue_told"] = task["due_at"] is not None and task["due_at"] <= now and task["status"] != "done"
        rows.tasks.append(task)
        rows.comments.append(comments)
        rows.reminders.append(self._reminders(task))
        rows.history.append(sorted(history, key=lambda entry: entry["at"]))
        rows.news.append(self._news(task, comments))

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _deadline(self, created_at: datetime) -> datetime:
        due = created_at + timedelta(days=self._chance.choice((1, 2, 3, 5, 7, 10, 14, 21)))
        return due.replace(hour=self._chance.choice((8, 10, 12, 15, 17)), minute=0, second=0, microsecond=0)

    def _weather(self, created_at: datetime, history: list[Row]) -> Row:
        """Return the weather columns. The newest tasks still wait for their weather, which a worker fetches."""
        columns: Row = dict.fromkeys(("city", "city_key", "weather", "weather_status", "weather_next_attempt_at"))
        columns["weather_attempts"] = 0
        if self._happens(0.1):
            return columns
        place = self._chance.choice(PLACES)
        columns |= {"city": place.name, "city_key": city_key(place.name)}
        if self._now - created_at < _FRESH:
            return columns | {"weather_status": "pending", "weather_next_attempt_at": self._now}
        if self._happens(0.02):
            return columns | {"weather_status": "unavailable"}
        fetched_at = created_at + timedelta(seconds=2)
        history.append(_entry("task.enriched", fetched_at, None))
        return columns | {"weather_status": "ready", "weather": _report(place, fetched_at), "weather_attempts": 1}

    def _progress(self, task: Row, worker: int, history: list[Row]) -> Row:
        """Return the status of a task: the older it is, the more likely it is done."""
        age = self._now - task["created_at"]
        begun_at = task["created_at"] + age * self._chance.uniform(0.02, 0.4)
        done_at = begun_at + min(self._now - begun_at, timedelta(days=6)) * self._chance.uniform(0.1, 0.9)
        likelihood = min(age / timedelta(days=12), 0.88)
        luck = self._chance.random()
        columns = {"status": "todo", "completed_at": None}
        if luck < likelihood + 0.15:
            history.append(_entry("task.updated", begun_at, worker, status=("todo", "in_progress")))
            columns = {"status": "in_progress", "completed_at": None}
        if luck < likelihood:
            history.append(_entry("task.updated", done_at, worker, status=("in_progress", "done")))
            columns = {"status": "done", "completed_at": done_at}
        return columns

    def _comments(self, task: Row, people: Sequence[int], history: list[Row]) -> list[Row]:
        comments = []
        for _ in range(self._chance.choices((0, 1, 2, 3), (6, 3, 2, 1))[0]):
            at = task["created_at"] + (self._now - task["created_at"]) * self._chance.random() ** 2
            author = self._chance.choice(people) if task["group_id"] else task["assignee_id"] or task["user_id"]
            body = self._chance.choice(COMMENTS)
            comments.append({"user_id": author, "body": body, "created_at": at, "updated_at": at})
            history.append(_entry("task.commented", at, author))
        return sorted(comments, key=lambda comment: comment["created_at"])

    def _reminders(self, task: Row) -> list[Row]:
        if task["due_at"] is None or self._happens(0.7):
            return []
        seconds = self._chance.choice((_HOUR, 3 * _HOUR, 24 * _HOUR))
        fires_at = task["due_at"] - timedelta(seconds=seconds)
        fired_at = fires_at if fires_at <= self._now else None
        about = {"user_id": task["user_id"], "created_at": task["created_at"], "seconds_before_due": seconds}
        return [about | {"fires_at": fires_at, "fired_at": fired_at}]

    def _news(self, task: Row, comments: Sequence[Row]) -> list[Row]:
        """Return the notifications of the last days: to the assignee, and to the owner about comments."""
        news = []
        if task["assignee_id"] not in {None, task["user_id"]}:
            news.append(self._told(ASSIGNED, task, task["assignee_id"], task["user_id"], task["created_at"]))
        news += [
            self._told(COMMENTED, task, task["user_id"], said["user_id"], said["created_at"], said["body"])
            for said in comments
            if said["user_id"] != task["user_id"]
        ]
        return [told for told in news if self._now - told["created_at"] < _NEWS]

    def _told(self, kind: str, task: Row, reader: int, actor: int, at: datetime, said: str | None = None) -> Row:
        due_at = task["due_at"] and task["due_at"].isoformat()
        details = {"title": task["title"], "due_at": due_at, "said": said, "actor": self._names[actor]}
        read_at = at + (self._now - at) / 2 if self._happens(0.6) else None
        return {
            "user_id": reader,
            "kind": kind,
            "actor_id": actor,
            "details": details,
            "created_at": at,
            "read_at": read_at,
            "mail_status": None,
        }


def _entry(kind: str, at: datetime, actor_id: int | None, **changes: tuple[Any, Any]) -> Row:
    recorded = {name: {"from": before, "to": after} for name, (before, after) in changes.items()}
    return {"type": kind, "at": at, "actor_id": actor_id, "changes": recorded}


def _report(place: Place, at: datetime) -> Row:
    weather = conditions(place, at)
    report = WeatherReport(
        temperature=weather.temperature,
        feels_like=weather.feels_like,
        condition=CONDITIONS[weather.weather_code],
        humidity=weather.humidity,
        wind_speed=weather.wind_speed,
        location=f"{place.name}, {place.country}",
        provider="demo",
        fetched_at=at,
    )
    return report.as_dict() | {"fetched_at": at.isoformat()}


def _write(rows: _Rows) -> None:
    ids = [task_id for (task_id,) in Task.insert_many(rows.tasks).returning(Task.id).tuples().execute()]
    for model, lists in (
        (Comment, rows.comments),
        (Reminder, rows.reminders),
        (TaskActivity, rows.history),
        (Notification, rows.news),
    ):
        pairs = zip(ids, lists, strict=True)
        _insert(model, [row | {"task_id": task_id} for task_id, of_task in pairs for row in of_task])


def _insert(model: type[Model], rows: list[Row]) -> None:
    if rows:
        model.insert_many(sorted(rows, key=lambda row: row.get("created_at") or row["at"])).execute()
