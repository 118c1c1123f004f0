"""What each main operation costs: round trips to PostgreSQL and Redis, and hand-overs to threads.

Round trips and hand-overs are most of the time of a request. Whoever adds one has to change the table, and so says that
the feature is worth it. The caches are warm: each operation is called once before it is counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any, Final

import pytest
import requests

from api.app import create_app
from core.config import Settings
from core.policy import Actor
from core.security import TokenIssuer
from core.services import sessions
from core.services.sessions import Client
from tests.api.callers import TASKS, Caller, LiveServer, create_task_at, id_in
from tests.builders import PASSWORD, create_group
from tests.costs import Cost, CountingApp, counting
from tests.polling import wait_until
from tests.sql import execute

API: Final = "/api/v1"
GATHER: Final = {"title": "Clean the gutters", "description": "Before the rain comes."}


@dataclass(frozen=True)
class World:
    """Clients with the rows that the operations need."""

    alice: Caller
    bob: Caller
    ada: Caller
    anybody: Caller
    bob_id: int
    group_id: int
    task: str
    new_session: Callable[[], Caller]

    def new_task(self, **fields: Any) -> str:
        return create_task_at(self.alice, **fields)

    def added(self, path: str, **body: Any) -> str:
        """Create something under a path and return its path."""
        response = self.alice.post(path, json=body)
        assert response.ok, response.text
        return f"{path}/{response.json()['id']}"

    def attachment(self) -> str:
        path = f"{self.new_task()}/attachments"
        return f"{path}/{upload(self.alice, path).json()['id']}"

    def login(self) -> requests.Response:
        return self.anybody.post(f"{API}/auth/login", json={"username": "alice", "password": PASSWORD})

    def notification(self) -> str:
        self.new_task(assignee_id=self.bob_id)
        return f"{API}/notifications/{self.bob.get(f'{API}/notifications').json()['items'][0]['id']}"


def upload(caller: Caller, path: str) -> requests.Response:
    return caller.post(path, files={"file": ("note.txt", b"The ladder is in the shed.", "text/plain")})


_numbers = count()


def register(world: World) -> requests.Response:
    name = f"new{next(_numbers)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return world.anybody.post(f"{API}/auth/register", json=body)


def read_unchanged(world: World) -> requests.Response:
    return world.alice.get(world.task, headers={"If-None-Match": world.alice.get(world.task).headers["ETag"]})


def read_next_page(world: World) -> requests.Response:
    for _ in range(3):
        world.new_task()
    cursor = world.alice.get(f"{TASKS}?limit=2").json()["next_cursor"]
    return world.alice.get(TASKS, params={"limit": "2", "cursor": cursor})


def change_in_bulk(world: World) -> requests.Response:
    paths = [world.new_task() for _ in range(3)]
    changes = [{"op": "update", "id": id_in(path), "task": {"status": "done"}} for path in paths]
    return world.alice.post(f"{TASKS}/bulk", json={"operations": changes})


def create_once(world: World) -> requests.Response:
    return world.alice.post(TASKS, json=GATHER, headers={"Idempotency-Key": f"key-{next(_numbers)}"})


def import_tasks(world: World) -> requests.Response:
    lines = b'{"title": "one"}\n{"title": "two"}\n'
    return world.alice.post(f"{TASKS}/import", data=lines, headers={"Content-Type": "application/x-ndjson"})


def refresh(world: World) -> requests.Response:
    return world.anybody.post(f"{API}/auth/refresh", json={"refresh_token": world.login().json()["refresh_token"]})


def new_place() -> int:
    sql = "INSERT INTO places (reference, name, latitude, longitude) VALUES (%s, 'Here', 1, 1) RETURNING id"
    return int(execute(sql, (f"tests:{next(_numbers)}",)).fetchone()[0])


def known_name() -> str:
    name = f"place{next(_numbers)}"
    execute("INSERT INTO place_names (key, place_ids) VALUES (%s, ARRAY[%s])", (name, new_place()))
    return name


# The three numbers are round trips to PostgreSQL, round trips to Redis (one counts the request against its limit), and
# hand-overs to threads.
OPERATIONS: Final[dict[str, tuple[Callable[[World], requests.Response], Cost]]] = {
    "health": (lambda w: w.anybody.get("/health"), Cost(0, 0, 0)),
    "register": (register, Cost(4, 1, 3)),
    "login": (World.login, Cost(15, 1, 3)),
    "refresh": (refresh, Cost(4, 1, 1)),
    "logout": (lambda w: w.new_session().post(f"{API}/auth/logout"), Cost(6, 1, 2)),
    "list sessions": (lambda w: w.alice.get(f"{API}/auth/sessions"), Cost(1, 1, 1)),
    "me": (lambda w: w.alice.get(f"{API}/users/me"), Cost(1, 1, 1)),
    "change me": (lambda w: w.alice.patch(f"{API}/users/me", json={"full_name": f"A{next(_numbers)}"}), Cost(9, 1, 2)),
    "read a task": (lambda w: w.alice.get(w.task), Cost(1, 1, 1)),
    "read a task, first request of a session": (lambda w: w.new_session().get(w.task), Cost(2, 1, 2)),
    "read a task that has not changed": (read_unchanged, Cost(1, 1, 1)),
    "list tasks": (lambda w: w.alice.get(f"{TASKS}?limit=20"), Cost(1, 1, 1)),
    "list tasks, next page by cursor": (read_next_page, Cost(1, 1, 1)),
    "list tasks with filters": (lambda w: w.alice.get(f"{TASKS}?status=todo&priority=low&sort=-due_at"), Cost(1, 1, 1)),
    "search tasks": (lambda w: w.alice.get(f"{TASKS}?q=gutters"), Cost(1, 1, 1)),
    "create a task": (lambda w: w.alice.post(TASKS, json=GATHER), Cost(1, 1, 1)),
    "create a task with a city": (lambda w: w.alice.post(TASKS, json=GATHER | {"city": "Bern"}), Cost(1, 1, 1)),
    "create a task with a chosen place": (
        lambda w: w.alice.post(TASKS, json=GATHER | {"place_id": new_place()}),
        Cost(1, 1, 1),
    ),
    "create a task at a point that is known": (
        lambda w: w.alice.post(TASKS, json=GATHER | {"latitude": 59.91, "longitude": 10.75}),
        Cost(3, 1, 1),
    ),
    "find places that are known": (lambda w: w.alice.get(f"{API}/places?q={known_name()}"), Cost(1, 1, 1)),
    "create a task for somebody": (
        lambda w: w.alice.post(TASKS, json=GATHER | {"assignee_id": w.bob_id}),
        Cost(6, 1, 1),
    ),
    "create a task for a group": (lambda w: w.alice.post(TASKS, json=GATHER | {"group_id": w.group_id}), Cost(7, 1, 1)),
    "create a task with an idempotency key": (create_once, Cost(7, 1, 1)),
    "change a task": (lambda w: w.alice.patch(w.new_task(), json={"title": "Mend the roof"}), Cost(3, 1, 1)),
    "complete a task": (lambda w: w.alice.patch(w.new_task(), json={"status": "done"}), Cost(3, 1, 1)),
    "assign a task": (lambda w: w.alice.patch(w.new_task(), json={"assignee_id": w.bob_id}), Cost(7, 1, 1)),
    "change nothing of a task": (lambda w: w.alice.patch(w.new_task(), json={"status": "todo"}), Cost(3, 1, 1)),
    "delete a task": (lambda w: w.alice.delete(w.new_task()), Cost(3, 1, 1)),
    "change three tasks in bulk": (change_in_bulk, Cost(14, 1, 1)),
    "export tasks": (lambda w: w.alice.get(f"{TASKS}/export"), Cost(3, 1, 1)),
    "import two tasks": (import_tasks, Cost(7, 1, 2)),
    "delegate a task": (
        lambda w: w.alice.post(f"{w.new_task()}/delegate", json={"assignee_id": w.bob_id}),
        Cost(8, 1, 1),
    ),
    "list comments": (lambda w: w.alice.get(f"{w.task}/comments"), Cost(2, 1, 1)),
    "comment": (lambda w: w.alice.post(f"{w.task}/comments", json={"body": "In the shed."}), Cost(6, 1, 1)),
    "change a comment": (
        lambda w: w.alice.patch(w.added(f"{w.task}/comments", body="x"), json={"body": "y"}),
        Cost(4, 1, 1),
    ),
    "delete a comment": (lambda w: w.alice.delete(w.added(f"{w.task}/comments", body="x")), Cost(4, 1, 1)),
    "list reminders": (lambda w: w.alice.get(f"{w.task}/reminders"), Cost(2, 1, 1)),
    "add a reminder": (
        lambda w: w.alice.post(f"{w.new_task()}/reminders", json={"seconds_before_due": 60}),
        Cost(3, 1, 1),
    ),
    "history of a task": (lambda w: w.alice.get(f"{w.task}/activity"), Cost(2, 1, 1)),
    "list attachments": (lambda w: w.alice.get(f"{w.task}/attachments"), Cost(2, 1, 1)),
    "upload an attachment": (lambda w: upload(w.alice, f"{w.new_task()}/attachments"), Cost(14, 1, 8)),
    "download an attachment": (lambda w: w.alice.get(f"{w.attachment()}/content"), Cost(2, 1, 5)),
    "delete an attachment": (lambda w: w.alice.delete(w.attachment()), Cost(9, 1, 4)),
    "list notifications": (lambda w: w.bob.get(f"{API}/notifications"), Cost(1, 1, 1)),
    "count unread notifications": (lambda w: w.bob.get(f"{API}/notifications/unread"), Cost(1, 1, 1)),
    "mark a notification as read": (lambda w: w.bob.post(f"{w.notification()}/read"), Cost(2, 1, 1)),
    "analytics": (lambda w: w.alice.get(f"{API}/analytics"), Cost(1, 1, 1)),
    "analytics of all": (lambda w: w.ada.get(f"{API}/analytics"), Cost(1, 1, 1)),
    "analytics by day": (
        lambda w: w.alice.get(f"{API}/analytics/days?start_date=2026-01-01&end_date=2026-01-31"),
        Cost(1, 1, 1),
    ),
    "list groups": (lambda w: w.alice.get(f"{API}/groups"), Cost(1, 1, 1)),
    "list users": (lambda w: w.ada.get(f"{API}/users"), Cost(2, 1, 1)),
    "ticket for a socket": (lambda w: w.alice.post(f"{API}/ws/tickets"), Cost(2, 1, 1)),
    "feedback": (lambda w: w.alice.post(f"{API}/feedback", json={"rating": 5, "message": "Well done."}), Cost(2, 1, 1)),
}

REFUSALS: Final[dict[str, tuple[Callable[[World], requests.Response], Cost]]] = {
    "read a task without permission": (lambda w: w.alice.get(create_task_at(w.ada)), Cost(1, 1, 1)),
    "read a task without a token": (lambda w: w.anybody.get(w.task), Cost(0, 1, 0)),
    "change a task without permission": (lambda w: w.alice.patch(create_task_at(w.ada), json={}), Cost(2, 1, 1)),
}


@pytest.fixture(scope="module")
def counting_app(settings: Settings) -> Iterator[CountingApp]:
    # With one thread for the database, all requests have the same connection, in which statements are prepared once.
    with counting():
        yield CountingApp(
            create_app(settings.model_copy(update={"database_threads": 1, "session_cache_seconds": 3600.0}))
        )


@pytest.fixture(scope="module")
def live_server(counting_app: CountingApp) -> Iterator[LiveServer]:
    with LiveServer(counting_app) as server:
        yield server


@pytest.fixture
def world(
    live_server: LiveServer, issuer: TokenIssuer, as_alice: Caller, as_bob: Caller, as_ada: Caller, alice: Actor,
    bob: Actor, ada: Actor, anybody: Caller,
) -> World:  # fmt: skip
    def new_session() -> Caller:
        session = sessions.open_session(alice.user_id, Client("127.0.0.1", None), timedelta(days=1))
        return Caller(live_server.url, issuer.access_token(alice.user_id, session.session_id))

    group_id = create_group(ada, members=(alice,))
    return World(as_alice, as_bob, as_ada, anybody, bob.user_id, group_id, create_task_at(as_alice), new_session)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_costs_what_the_table_says(name: str, world: World, counting_app: CountingApp) -> None:
    send, expected = OPERATIONS[name]

    send(world)
    response = send(world)

    assert response.ok, response.text
    cost = cost_of(response, counting_app)
    assert cost == expected, f"This costs {cost} now."


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_costs_what_the_table_says(name: str, world: World, counting_app: CountingApp) -> None:
    send, expected = REFUSALS[name]

    send(world)
    response = send(world)

    assert response.status_code in {401, 403}, response.text
    cost = cost_of(response, counting_app)
    assert cost == expected, f"This costs {cost} now."


def cost_of(response: requests.Response, counting_app: CountingApp) -> Cost:
    """Return the cost of the request, which may end a little later than its response."""
    request_id = response.headers["X-Request-ID"]
    wait_until(lambda: request_id in counting_app.costs)
    return counting_app.costs[request_id]
