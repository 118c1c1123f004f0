"""Declared operations: what a declaration refuses, and how it is enforced for each request."""

from collections.abc import Callable
from typing import Annotated, Any

import falcon.asgi
import pytest
from falcon.asgi import Request, Response
from falcon.testing import Result, TestClient

from api.http import bodies, errors
from api.http.call import Call, FromRequest
from api.http.fields import Input
from api.http.operation import NoQuery, RateLimit, is_unlisted, operation, operation_of, unlisted
from api.http.routing import Router
from core.errors import Unauthenticated
from core.messages import msg
from core.policy import Actor, Role, Scope

LOGGED_IN = Actor(1, Role.USER, 10)
ADMIN = Actor(2, Role.ADMIN, 20)
# The callers by their tokens.
CALLERS = {
    "user": LOGGED_IN,
    "admin": ADMIN,
    "reader": Actor(1, Role.USER, 11, frozenset({Scope.TASKS_READ})),
    "writer": Actor(1, Role.USER, 12, frozenset({Scope.TASKS_WRITE})),
    "admin-writer": Actor(2, Role.ADMIN, 21, frozenset({Scope.TASKS_WRITE})),
    "admin-token": Actor(2, Role.ADMIN, 22, frozenset({Scope.TASKS_WRITE, Scope.ADMIN})),
}


class Tokens:
    """Replaces `AuthenticationMiddleware` and its authenticator, and accepts the tokens above."""

    async def process_request(self, req: Request, _resp: Response) -> None:
        token = (req.get_header("Authorization") or "").removeprefix("Bearer ")
        context: Any = req.context
        context.authenticator = self
        context.actor = None
        context.claims = token if token in CALLERS else None
        context.claims_failure = Unauthenticated(msg("bad"), code="token_invalid") if token else None

    async def actor(self, claims: str) -> Actor:
        return CALLERS[claims]


class NoteQuery(Input):
    loud: bool = False


class NoteInput(Input):
    text: str


def _shouted(call: Call) -> str:
    assert call.actor is not None
    assert isinstance(call.query, NoteQuery)
    return f"{call.actor.user_id}: {call.body.text.upper() if call.query.loud else call.body.text}"


Shouted = Annotated[str, FromRequest(_shouted, headers=("If-Match",), errors=(412,))]


class Notes:
    @operation(201, dict, tag="notes", scope=Scope.TASKS_WRITE, errors=(409,))
    async def on_post(
        self,
        req: Request,
        resp: Response,
        actor: Actor,
        query: NoteQuery,
        body: NoteInput,
        shouted: Shouted,
        book: str,
    ) -> dict[str, Any]:
        """Write a note.

        On paper,
        by hand.
        """
        resp.set_header("X-Method", req.method)
        return {"actor": actor.user_id, "text": body.text, "loud": query.loud, "shouted": shouted, "book": book}

    @operation(204, tag="notes", scope=Scope.TASKS_WRITE, admin=True)
    async def on_delete(self, book: str, body: NoteInput) -> None:
        """Burn a note."""

    @operation(204, tag="notes", rate_limit=RateLimit.CREDENTIALS)
    async def on_put(self, book: str) -> None:
        """Sign a note."""

    @operation(200, dict, tag="notes", public=True)
    async def on_get(self, book: str) -> dict[str, str]:
        """Read a note."""
        return {"book": book}


@pytest.fixture
def send() -> Callable[..., Result]:
    app: Any = falcon.asgi.App(router=Router(), middleware=[Tokens()])
    bodies.install(app, 1024, 1024)
    errors.install(app)
    app.add_route("/books/{book}/notes", Notes())
    client = TestClient(app)

    def send(method: str, token: str | None = None, json: Any = None, query: str = "") -> Result:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return client.simulate_request(method, "/books/red/notes", headers=headers, json=json, query_string=query)

    return send


Send = Callable[..., Result]

GOOD = {"text": "x"}
BAD = {"text": 7}


def assert_refused(response: Result, status: int, code: str) -> None:
    assert (response.status_code, response.json["code"]) == (status, code), response.text


class TestDeclaration:
    def test_a_public_operation_has_no_caller(self) -> None:
        async def on_get(self: object, actor: Actor) -> None:
            """Read."""

        with pytest.raises(TypeError, match="on_get is public"):
            operation(204, tag="notes", public=True)(on_get)

    def test_a_public_operation_has_no_places(self) -> None:
        async def on_get(self: object) -> None:
            """Read."""

        with pytest.raises(TypeError, match="no caller whose places"):
            operation(204, tag="notes", public=True, places=1)(on_get)

    def test_the_caller_is_an_actor(self) -> None:
        async def on_get(self: object, actor: int) -> None:
            """Read."""

        with pytest.raises(TypeError, match=r"actor of .*on_get must be an Actor"):
            operation(204, tag="notes")(on_get)

    @pytest.mark.parametrize("docstring", [None, "", "   "])
    def test_a_docstring_is_needed(self, docstring: str | None) -> None:
        async def on_get(self: object) -> None: ...

        on_get.__doc__ = docstring
        with pytest.raises(TypeError, match="on_get needs a docstring"):
            operation(204, tag="notes")(on_get)

    def test_states_what_the_responder_takes(self) -> None:
        declared = operation_of(Notes.on_post)

        assert declared is not None
        assert (declared.summary, declared.description) == ("Write a note", "On paper, by hand.")
        assert declared.path_parameters == {"book"}
        assert declared.query is NoteQuery
        assert declared.bodies == {bodies.JSON: NoteInput}
        assert declared.request_headers == ("If-Match",)
        assert declared.errors == (409, 412)

    def test_has_defaults(self) -> None:
        signed, read = operation_of(Notes.on_put), operation_of(Notes.on_get)

        assert signed is not None
        assert read is not None
        assert (signed.query, signed.bodies, signed.errors) == (NoQuery, {}, ())
        assert (signed.rate_limit, read.rate_limit) == (RateLimit.CREDENTIALS, RateLimit.GENERAL)

    def test_an_unlisted_responder_has_none(self) -> None:
        @unlisted
        async def on_get(self: object) -> None: ...

        assert (operation_of(on_get), is_unlisted(on_get), is_unlisted(Notes.on_get)) == (None, True, False)


class TestArguments:
    def test_come_from_all_parts_of_the_request(self, send: Send) -> None:
        response = send("POST", "writer", GOOD, "loud=true")

        assert response.status_code == 201
        assert response.json == {"actor": 1, "text": "x", "loud": True, "shouted": "1: X", "book": "red"}
        assert response.headers["x-method"] == "POST"

    def test_of_a_public_operation_need_no_token(self, send: Send) -> None:
        assert send("GET").json == {"book": "red"}
        assert send("GET", "forged").json == {"book": "red"}

    def test_nothing_is_written_without_a_result(self, send: Send) -> None:
        response = send("PUT", "user")

        assert (response.status_code, response.content) == (204, b"")


class TestOrderOfChecks:
    def test_a_stranger_learns_nothing_about_permissions_or_schemas(self, send: Send) -> None:
        assert_refused(send("POST", None, BAD, "unknown=1"), 401, "token_missing")
        assert_refused(send("POST", "forged", BAD, "unknown=1"), 401, "token_invalid")

    def test_a_caller_without_permission_learns_nothing_about_schemas(self, send: Send) -> None:
        assert_refused(send("POST", "reader", BAD, "unknown=1"), 403, "scope_missing")
        assert_refused(send("DELETE", "user", BAD, "unknown=1"), 403, "admin_required")

    def test_the_query_is_validated_before_the_body(self, send: Send) -> None:
        refused = send("POST", "writer", BAD, "unknown=1")

        assert_refused(refused, 422, "invalid")
        assert [error["field"] for error in refused.json["errors"]] == ["unknown"]

    def test_the_body_is_validated_last(self, send: Send) -> None:
        refused = send("POST", "writer", BAD)

        assert_refused(refused, 422, "invalid")
        assert [error["field"] for error in refused.json["errors"]] == ["text"]

    def test_an_operation_without_a_query_refuses_one(self, send: Send) -> None:
        assert_refused(send("GET", query="unknown=1"), 422, "invalid")


class TestPermissions:
    @pytest.mark.parametrize("token", ["user", "admin", "writer", "admin-token"])
    def test_a_login_or_a_token_with_the_scope_is_accepted(self, token: str, send: Send) -> None:
        assert send("POST", token, GOOD).status_code == 201

    def test_a_token_without_the_scope_is_refused(self, send: Send) -> None:
        assert_refused(send("POST", "reader", GOOD), 403, "scope_missing")

    @pytest.mark.parametrize("token", ["reader", "writer", "admin-token"])
    def test_without_a_scope_only_a_login_is_accepted(self, token: str, send: Send) -> None:
        assert_refused(send("PUT", token), 403, "login_required")

    @pytest.mark.parametrize("token", ["admin", "admin-token"])
    def test_an_admin_may_do_what_only_admins_may(self, token: str, send: Send) -> None:
        assert send("DELETE", token, GOOD).status_code == 204

    @pytest.mark.parametrize("token", ["user", "writer", "admin-writer"])
    def test_others_may_not(self, token: str, send: Send) -> None:
        assert_refused(send("DELETE", token, GOOD), 403, "admin_required")
