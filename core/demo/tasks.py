"""The made-up tasks, with everything that has happened to them."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.config import Settings
from core.days import last_second_of
from core.demo.outdoors import Site, report, verdict
from core.demo.texts import COMMENTS, WHERE, WORK, Person, Work
from core.models.task import PRIORITIES
from core.services.notifications import ASSIGNED, COMMENTED, WEATHER_WARNED
from core.services.weather_outcomes import WARNED
from core.weather import city_key
from core.weather.rules import Reason

DAYS: Final = 60
_PRIORITY_WEIGHTS: Final = (2, 5, 2, 1)
_FRESH: Final = timedelta(hours=6)
# Some days ago the provider failed until the attempts of the next tasks with a city were used up.
_SINCE_OUTAGE: Final = timedelta(days=4)
_FAILED_TASKS: Final = 2
_LAST_ATTEMPT_AFTER: Final = timedelta(minutes=2)
_ATTEMPTS: Final = int(Settings.model_fields["weather_attempts"].default)
_REASON: Final = "Open-Meteo answered with status 503."
_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_HOUR: Final = 3600
_SATURDAY: Final = 5
_SHARE_OF_FIRST: Final = 4
_NEW_VERSION: Final = frozenset({"task.updated", "task.enriched"})
Row = dict[str, Any]


@dataclass
class Rows:
    """What belongs to the tasks: one list for each of them, in their order."""

    tasks: list[Row] = field(default_factory=list)
    comments: list[list[Row]] = field(default_factory=list)
    reminders: list[list[Row]] = field(default_factory=list)
    history: list[list[Row]] = field(default_factory=list)
    news: list[list[Row]] = field(default_factory=list)
    outcomes: list[list[Row]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Team:
    """A group by its id, and the ids of its members."""

    group_id: int
    members: tuple[int, ...]


class TaskMaker:
    """Makes tasks with everything around them, for people by their ids."""

    def __init__(
        self,
        chance: random.Random,
        now: datetime,
        people: Mapping[int, Person],
        teams: Sequence[Team],
        sites: Sequence[Site],
    ) -> None:
        self._chance = chance
        self._now = now
        self._people = people
        self._teams = teams
        self._sites = sites
        self._failures_ahead = _FAILED_TASKS

    def moment_of_creation(self) -> datetime:
        """Return a time in the last days, more often on a weekday than on a weekend."""
        while True:
            moment = self._now - timedelta(seconds=self._chance.uniform(60, DAYS * 24 * _HOUR))
            if moment.weekday() < _SATURDAY or self._happens(0.3):
                return moment

    def add_task(self, rows: Rows, created_at: datetime) -> None:
        """Add a task, and what has happened to it since."""
        chance, now = self._chance, self._now
        team = chance.choice(self._teams) if self._happens(0.45) else None
        people = team.members if team else tuple(self._people)
        owner = self._somebody(people)
        assignee = self._somebody(people) if self._happens(0.5) else None
        work = chance.choice(WORK)
        task: Row = {
            "title": f"{work.title} {chance.choice(WHERE)}",
            "description": work.description,
            "priority": chance.choices(PRIORITIES, _PRIORITY_WEIGHTS)[0],
            "user_id": owner,
            "assignee_id": assignee,
            "group_id": team.group_id if team else None,
            "created_at": created_at,
        }
        history = [_entry("task.created", created_at, owner)]
        task |= self._deadline(created_at, ZoneInfo(self._people[owner].timezone))
        task |= self._demands(work, task["due_at"])
        site = None if self._happens(0.1) else chance.choice(self._sites)
        task |= self._weather(site, created_at, history)
        task |= self._progress(task, assignee or owner, history)
        comments = self._comments(task, people, history)
        news = self._news(task, comments)
        told = people if team and assignee is None else (owner, assignee or owner)
        outcomes = self._warning(task, site, dict.fromkeys((owner, *told)), history, news)
        task["version"] = 1 + sum(entry["type"] in _NEW_VERSION for entry in history)
        task["updated_at"] = max(entry["at"] for entry in history if entry["type"] in _NEW_VERSION | {"task.created"})
        task["overdue_told"] = task["due_at"] is not None and task["due_at"] <= now and task["status"] != "done"
        rows.tasks.append(task)
        rows.comments.append(comments)
        rows.reminders.append(self._reminders(task))
        rows.history.append(sorted(history, key=lambda entry: entry["at"]))
        rows.news.append(news)
        rows.outcomes.append(outcomes)

    def _happens(self, probability: float) -> bool:
        return self._chance.random() < probability

    def _somebody(self, people: Sequence[int]) -> int:
        """Return one of some people, most often the first of all, who signs in and shall see enough."""
        first = next(iter(self._people))
        return self._chance.choices(people, [_SHARE_OF_FIRST if each == first else 1 for each in people])[0]

    def _deadline(self, created_at: datetime, zone: ZoneInfo) -> Row:
        """Return the columns of a deadline: a time in the owner's time zone, or a day, or none."""
        if self._happens(0.2):
            return {"due_at": None, "due_on": None}
        due = created_at.astimezone(zone) + timedelta(days=self._chance.choice((2, 3, 5, 7, 9, 12, 15, 21)))
        if self._happens(0.15):
            return {"due_at": last_second_of(due.date(), zone), "due_on": due.date()}
        due = due.replace(hour=self._chance.choice((11, 12, 14, 15, 17)), minute=0, second=0, microsecond=0)
        return {"due_at": due.astimezone(UTC), "due_on": None}

    def _demands(self, work: Work, due_at: datetime | None) -> Row:
        """Return how long a task takes and what weather it bears, and whether a worker may move it."""
        rule = work.rule if self._happens(0.75) else None
        may_be_moved = self._happens(0.25)
        bounds = {"not_after": (due_at + _WEEK).isoformat()} if rule and due_at and may_be_moved else None
        return {"duration_minutes": work.minutes, "weather_rule": rule, "auto_reschedule": bounds}

    def _weather(self, site: Site | None, created_at: datetime, history: list[Row]) -> Row:
        """Return the columns of the city.

        The newest tasks still wait for their weather, which a worker fetches. That of a few was given up.
        """
        names = ("city", "city_key", "place_id", "weather", "weather_status", "weather_next_attempt_at")
        columns: Row = dict.fromkeys((*names, "weather_error", "weather_failing_since")) | {"weather_attempts": 0}
        if site is None:
            return columns
        columns |= {"city": site.place.name, "city_key": city_key(site.place.name)}
        if self._now - created_at < _FRESH:
            return columns | {"weather_status": "pending", "weather_next_attempt_at": self._now}
        fetched_at = created_at + timedelta(seconds=2)
        if self._failures_ahead and self._now - created_at < _SINCE_OUTAGE:
            self._failures_ahead -= 1
            history.append(_entry("task.updated", fetched_at + _LAST_ATTEMPT_AFTER, None))
            return columns | {
                "weather_status": "unavailable",
                "weather_attempts": _ATTEMPTS,
                "weather_error": _REASON,
                "weather_failing_since": fetched_at,
            }
        history.append(_entry("task.enriched", fetched_at, None))
        return columns | {
            "place_id": site.id,
            "weather_status": "ready",
            "weather": report(site.place, fetched_at),
            "weather_attempts": 1,
        }

    def _warning(
        self, task: Row, site: Site | None, readers: Iterable[int], history: list[Row], news: list[Row]
    ) -> list[Row]:
        """Judge a task by its rule, and add what people were told if it is warned; returns it for the figures."""
        owner = task["user_id"]
        found = verdict(task, self._people[owner], site if task["place_id"] else None, self._now)
        task |= {"weather_state": found and found.state, "weather_warned_by": None}
        if found is None or found.state != "warned":
            return []
        task["weather_warned_by"] = [reason.limit for reason in found.reasons]
        since = max(task["created_at"] + timedelta(seconds=3), self._now - 2 * _DAY)
        at = since + (self._now - since) * self._chance.random()
        history.append(_entry("task.weather_warned", at, None, weather_state=(None, "warned")))
        news += [self._told(WEATHER_WARNED, task, reader, None, at, reasons=found.reasons) for reader in readers]
        return [{"kind": WARNED, "user_id": owner, "place_id": task["place_id"], "at": at}]

    def _progress(self, task: Row, worker: int, history: list[Row]) -> Row:
        """Return the status of a task: it is likely done if it is old, and less so if its deadline is ahead."""
        age = self._now - task["created_at"]
        begun_at = task["created_at"] + age * self._chance.uniform(0.02, 0.4)
        done_at = begun_at + min(self._now - begun_at, timedelta(days=6)) * self._chance.uniform(0.1, 0.9)
        likelihood = min(age / timedelta(days=12), 0.9)
        if task["due_at"] is not None and task["due_at"] > self._now:
            likelihood /= 3
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
            self._told(COMMENTED, task, task["user_id"], said["user_id"], said["created_at"], said=said["body"])
            for said in comments
            if said["user_id"] != task["user_id"]
        ]
        return [told for told in news if self._now - told["created_at"] < _WEEK]

    def _told(
        self,
        kind: str,
        task: Row,
        reader: int,
        actor: int | None,
        at: datetime,
        *,
        said: str | None = None,
        reasons: Sequence[Reason] = (),
    ) -> Row:
        details = {
            "title": task["title"],
            "due_at": task["due_at"] and task["due_at"].isoformat(),
            "said": said,
            "actor": None if actor is None else self._people[actor].full_name,
            "weather": None,
        }
        if reasons:
            shown = [reason.as_dict() | {"at": reason.at.isoformat()} for reason in reasons]
            details["weather"] = {"reasons": shown, "timezone": self._people[reader].timezone}
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
