"""The commands for people who work with tasks: a client of the HTTP API."""

from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from core.cli.application import command
from core.cli.failure import CommandFailed
from core.cli.output import Session, plain, table
from core.client.credentials import CredentialsFile, config_directory
from core.client.dates import UnknownDate, parse_due
from core.client.http import ApiError, Client
from core.client.live import Frame, Listener
from core.models.task import PRIORITIES

_DEFAULT_URL: Final = "http://127.0.0.1:8000"
_OPEN: Final = {"completed": "false"}
Json = dict[str, Any]


def _client(session: Session) -> Client:
    return Client(CredentialsFile(config_directory(session.environ)))


@command("login")
@click.option("--url", default=_DEFAULT_URL, show_default=True, help="The address of the server.")
@click.option("--name", prompt="Email or username", help="Who you are; asked for where it is left out.")
@click.password_option(
    help="Asked for where it is left out; others may see it in the list of processes.", confirmation_prompt=False
)
def _login(session: Session, url: str, name: str, password: str) -> None:
    """Sign in. The login is kept in a file that only you may read, until `allweather logout`."""
    profile = _client(session).login(url, name, password)
    session.output.show(profile, f"Signed in as {profile['username']}.")


@command("logout")
def _logout(session: Session) -> None:
    """End the session and forget the login."""
    _client(session).logout()
    session.output.show({"done": "logout"}, "Signed out.")


@command("tasks")
@click.option("--all", "with_done", is_flag=True, help="Also those that are done.")
@click.option("--overdue", is_flag=True, help="Only those whose deadline has passed.")
@click.option("--search", metavar="WORDS", help="Only those with these words.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True, help="How many at most.")
def _tasks(session: Session, with_done: bool, overdue: bool, search: str | None, limit: int) -> None:
    """List tasks, the newest first."""
    client = _client(session)
    query: Json = {"limit": limit} | ({} if with_done else _OPEN)
    query |= {"overdue": "true"} if overdue else {}
    query |= {"q": search} if search else {}
    page = client.request("GET", "/tasks", params=query)
    zone = _zone(client)
    lines = table("Id", "Status", "Priority", "Due", "Title", "City", "Weather")
    for task in page["items"]:
        lines.add_row(*(plain(cell) for cell in _cells(task, zone)))
    count = len(page["items"])
    more = f"{count} of {page['total']}; --limit shows more." if count < page["total"] else ""
    session.output.show(page, lines if count else "No tasks. `allweather add` makes one.", *([more] if more else []))


@command("add")
@click.argument("title")
@click.option("--city", help="Where it is; a worker adds the weather.")
@click.option("--due", metavar="DATE", help="today, tomorrow 9:00, fri, +3d, +2h or 2026-05-01; in your time zone.")
@click.option("--description", help="More about it.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="How important it is.")
@click.option("--rain-below", type=click.IntRange(0, 100), metavar="PERCENT", help="Warn if rain is more likely.")
def _add(
    session: Session,
    title: str,
    city: str | None,
    due: str | None,
    description: str | None,
    priority: str | None,
    rain_below: int | None,
) -> None:
    """Create a task, as in: allweather add "Paint the fence" --city Oslo --due tomorrow."""
    client = _client(session)
    zone = _zone(client)
    fields: Json = {"title": title, "city": city, "description": description, "priority": priority}
    if due is not None:
        deadline = _due(due, zone)
        fields["due_at" if isinstance(deadline, datetime) else "due_on"] = deadline.isoformat()
    if rain_below is not None:
        fields["weather_rule"] = {"max_rain_probability": rain_below}
    task = client.request("POST", "/tasks", {name: value for name, value in fields.items() if value is not None})
    until = f", due {_deadline(task, zone)}" if task["due_at"] else ""
    session.output.show(task, f"{task['id']}: {task['title']}{until}")


@command("done")
@click.argument("ids", metavar="ID...", type=click.IntRange(min=1), nargs=-1, required=True)
def _done(session: Session, ids: tuple[int, ...]) -> None:
    """Mark tasks as done."""
    client = _client(session)
    for task_id in ids:
        try:
            task = client.request("PATCH", f"/tasks/{task_id}", {"status": "done"})
        except ApiError as error:
            raise CommandFailed(f"{task_id}: {error}") from None
        session.output.show(task, f"{task['id']}: {task['title']} is done.")


@command("watch")
@click.option("--since", type=click.IntRange(min=0), help="Begin after the event with this number.")
def _watch(session: Session, since: int | None) -> None:
    """Show what happens to your tasks, live, until Ctrl-C. No event is missed when the connection is lost."""
    client = _client(session)
    zone = _zone(client)
    for frame in Listener(client, since, session.output.note).frames():
        session.output.show(frame, _sentence(frame, zone))


def _zone(client: Client) -> ZoneInfo:
    """Return the time zone of the person's profile."""
    return ZoneInfo(client.request("GET", "/auth/me")["timezone"])


def _due(text: str, zone: ZoneInfo) -> date:
    try:
        return parse_due(text, zone, datetime.now(UTC))
    except UnknownDate as error:
        raise click.BadParameter(str(error), param_hint="--due") from None


def _deadline(task: Json, zone: ZoneInfo) -> str:
    """Return the deadline of a task: a day without a time is the same in each time zone."""
    if task["due_on"]:
        return f"{date.fromisoformat(task['due_on']):%a %d %b %Y}"
    return _local(task["due_at"], zone) if task["due_at"] else ""


def _local(moment: str, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(zone):%a %d %b %Y %H:%M}"


def _cells(task: Json, zone: ZoneInfo) -> tuple[object, ...]:
    where = task["city"] or (task["place"] or {}).get("name") or ""
    warning = ["warned"] if task["weather_state"] == "warned" else []
    due, weather = _deadline(task, zone), ", ".join(warning + _weather(task))
    return task["id"], task["status"], task["priority"], due, task["title"], where, weather


def _weather(task: Json) -> list[str]:
    """Return what is expected at the deadline, or else the weather at the time when the task got its place."""
    forecast, weather = task["forecast"], task["weather"]
    if forecast is None or forecast["horizon"] != "within":
        return _conditions(weather) if weather else [task["weather_status"] or ""]
    rain = forecast["rain_probability"]
    return _conditions(forecast) + ([] if rain is None else [f"{rain} % rain"])


def _conditions(weather: Json) -> list[str]:
    temperature = weather["temperature"]
    return ([] if temperature is None else [f"{round(temperature)} °C"]) + [weather["condition"]]


def _sentence(frame: Frame, zone: ZoneInfo) -> str:
    if frame["type"] == "ready":
        return f"Listening; the last event was {frame['seq']}."
    if frame["type"] == "resync_required":
        return "Some events are gone. List your tasks again; the following events are complete."
    if "data" not in frame:
        return str(frame["type"])
    data = frame["data"]
    about = data.get("text") or f"{data.get('title')} ({data.get('status')})"
    return f"{_local(frame['at'], zone)}  {frame['type']}  {frame['task_id'] or ''}  {about}"
