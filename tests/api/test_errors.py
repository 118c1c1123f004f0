"""Every failure becomes a problem document with the right status, also on a real server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import falcon.asgi
import peewee
import pytest
import requests
import structlog
from falcon.asgi import Request, Response, WebSocket
from falcon.testing import ASGIConductor, Result, TestClient

from api.http import bodies, errors
from api.http.fields import Input
from api.http.operation import operation, unlisted
from api.http.routing import Router
from core import errors as failures
from core.db import unit_of_work
from core.errors import Failure, FieldError
from core.policy import Actor
from tests.api.callers import LiveServer
from tests.sql import execute

LIMIT = 256 * 1024
SECRET = "a secret that must be in no response and no log"


@pytest.fixture(autouse=True)
def _clean() -> None:
    """Replace the fixture that empties the database, which most of these tests do not need."""


class RequestIds:
    async def process_request(self, req: Request, _resp: Response) -> None:
        req.context.request_id = "the-id"


class Failing:
    """A resource that raises `error`."""

    error: Exception = Exception()

    @unlisted
    async def on_get(self, _req: Request, _resp: Response) -> None:
        raise self.error

    async def on_websocket(self, _req: Request, ws: WebSocket) -> None:
        await ws.accept()
        raise self.error


class Note(Input):
    text: str


class Notes:
    @operation(200, Note, tag="notes", public=True)
    async def on_post(self, body: Note) -> dict[str, str]:
        """Write."""
        return body.model_dump()


@pytest.fixture
def failing() -> Failing:
    return Failing()


@pytest.fixture
def app(failing: Failing) -> Any:
    app: Any = falcon.asgi.App(router=Router(), middleware=[RequestIds()])
    app.req_options.strip_url_path_trailing_slash = True
    bodies.install(app, LIMIT, LIMIT)
    errors.install(app)
    app.add_route("/failing", failing)
    app.add_route("/notes", Notes())
    return app


@pytest.fixture
def client(app: Any) -> TestClient:
    return TestClient(app)


def assert_problem(response: Result, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:allweather:problem:{code}"
    assert problem["request_id"] == "the-id"
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("failure", "status", "headers"),
    [
        (failures.Rejected("no", code="account_taken"), 400, {}),
        (failures.Unauthenticated("no"), 401, {"www-authenticate": "Bearer"}),
        (failures.Forbidden("no"), 403, {}),
        (failures.NotFound("no"), 404, {}),
        (failures.Conflict("no"), 409, {}),
        (failures.PreconditionFailed("no"), 412, {}),
        (failures.Invalid([FieldError("a.0", "is odd")]), 422, {}),
        (failures.TooManyRequests("no", 7), 429, {"retry-after": "7"}),
        (failures.Unavailable("no", 3), 503, {"retry-after": "3"}),
    ],
)
def test_each_failure_class_has_its_status(
    failure: Failure, status: int, headers: dict[str, str], client: TestClient, failing: Failing
) -> None:
    failing.error = failure

    response = client.simulate_get("/failing")

    assert assert_problem(response, status, failure.stable_code)["detail"] == failure.detail
    assert {name: response.headers.get(name) for name in headers} == headers


def test_every_failure_class_has_a_status() -> None:
    assert set(errors.STATUSES) == set(Failure.__subclasses__())


def test_a_subclass_of_a_failure_keeps_its_status(client: TestClient, failing: Failing) -> None:
    class TaskNotFound(failures.NotFound):
        code = "task_not_found"

    failing.error = TaskNotFound("There is no such task.")

    assert_problem(client.simulate_get("/failing"), 404, "task_not_found")


def test_invalid_fields_are_listed(client: TestClient, failing: Failing) -> None:
    failing.error = failures.Invalid([FieldError("title", "is required"), FieldError("", "is odd")])

    problem = assert_problem(client.simulate_get("/failing"), 422, "invalid")

    assert problem["errors"] == [{"field": "title", "message": "is required"}, {"field": "", "message": "is odd"}]


@pytest.mark.parametrize("error", [peewee.OperationalError(SECRET), peewee.InterfaceError(SECRET)])
def test_an_unavailable_database_gets_503(error: Exception, client: TestClient, failing: Failing) -> None:
    failing.error = error

    with structlog.testing.capture_logs() as log:
        response = client.simulate_get("/failing")

    assert_problem(response, 503, "database_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert SECRET not in response.text + repr(log)


def test_a_foreign_key_violation_is_a_conflict(client: TestClient, failing: Failing, alice: Actor) -> None:
    with pytest.raises(peewee.IntegrityError) as failure, unit_of_work():
        execute("INSERT INTO tasks (title, user_id) VALUES ('x', 4611686018427387904)")
    failing.error = failure.value

    assert_problem(client.simulate_get("/failing"), 409, "changed_meanwhile")


@pytest.mark.parametrize("error", [ValueError(SECRET), peewee.IntegrityError(SECRET), KeyError(SECRET)])
def test_an_unexpected_error_is_logged_and_not_shown_to_the_client(
    error: Exception, client: TestClient, failing: Failing
) -> None:
    failing.error = error

    with structlog.testing.capture_logs() as log:
        response = client.simulate_get("/failing", query_string="token=" + SECRET.replace(" ", "+"))

    assert_problem(response, 500, "internal_error")
    assert SECRET not in response.text
    (entry,) = log
    assert entry.pop("exc_info") is error
    assert entry == {"event": "unhandled_exception", "log_level": "error", "method": "GET", "route": "/failing"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "route_not_found"),
        ("GET", "/failing/", 500, "internal_error"),
        ("DELETE", "/failing", 405, "method_not_allowed"),
        ("TRACE", "/notes", 405, "method_not_allowed"),
        ("OPTIONS", "/nowhere", 404, "route_not_found"),
    ],
)
def test_errors_of_the_router_are_problem_documents(
    method: str, path: str, status: int, code: str, client: TestClient
) -> None:
    response = client.simulate_request(method, path)

    assert_problem(response, status, code)
    assert ("allow" in response.headers) == (status == 405)


def test_a_failed_head_request_has_no_body(client: TestClient, failing: Failing) -> None:
    failing.error = failures.NotFound("no")

    response = client.simulate_head("/failing")

    assert (response.status_code, response.content) == (404, b"")


def test_an_unknown_query_parameter_is_refused(client: TestClient) -> None:
    problem = assert_problem(client.simulate_post("/notes?color=red", json={"text": "x"}), 422, "invalid")

    assert problem["errors"] == [{"field": "color", "message": "is not known here"}]


def test_a_problem_is_returned_even_without_a_request_id() -> None:
    app: Any = falcon.asgi.App()
    errors.install(app)

    assert TestClient(app).simulate_get("/nowhere").json["request_id"] is None


@pytest.mark.parametrize(
    ("error", "close_code"),
    [
        (failures.Unauthenticated("no"), 4401),
        (failures.Forbidden("no"), 4403),
        (falcon.HTTPNotFound(), 4404),
        (failures.Unavailable("no"), 1011),
        (peewee.OperationalError(), 1011),
        (ValueError(), 1011),
    ],
)
def test_an_open_socket_is_closed_with_the_code_of_the_failure(
    error: Exception, close_code: int, app: Any, failing: Failing
) -> None:
    failing.error = error

    assert asyncio.run(_close_code(app)) == close_code


async def _close_code(app: Any) -> int | None:
    async with ASGIConductor(app) as conductor, conductor.simulate_ws("/failing") as ws:
        with pytest.raises(falcon.WebSocketDisconnected):
            await ws.receive_text()
        code: int | None = ws.close_code
        return code


class TestOnARealServer:
    @pytest.fixture
    def url(self, app: Any) -> Iterator[str]:
        with LiveServer(app) as server:
            yield server.url

    def test_a_body_without_a_length_is_refused_when_it_grows_too_large(self, url: str) -> None:
        response = requests.post(
            f"{url}/notes",
            data=(b" " * 4096 for _ in range(LIMIT // 4096 + 10)),
            headers={"Content-Type": "application/json"},
            timeout=20,
        )

        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    def test_a_deeply_nested_body_is_malformed(self, url: str) -> None:
        response = requests.post(
            f"{url}/notes", data=b"[" * 100_000, headers={"Content-Type": "application/json"}, timeout=20
        )

        assert (response.status_code, response.json()["code"]) == (400, "malformed")

    def test_a_query_with_invalid_bytes_is_refused(self, url: str) -> None:
        response = requests.post(f"{url}/notes?%ff=%00&a=%ED%A0%80", json={"text": "x"}, timeout=20)

        assert response.status_code == 422
        assert json.loads(response.content)["code"] == "invalid"
