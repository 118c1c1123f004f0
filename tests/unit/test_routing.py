"""Which path belongs to which resource."""

import falcon.asgi
import pytest
from falcon.asgi import Request, Response
from falcon.testing import TestClient

from api.http.operation import operation, unlisted
from api.http.routing import Router


class Item:
    @unlisted
    async def on_get(self, _req: Request, resp: Response, item_id: int) -> None:
        resp.media = {"id": item_id}

    @unlisted
    async def on_delete(self, _req: Request, resp: Response, item_id: int) -> None:
        resp.media = {"deleted": item_id}


class Box:
    @unlisted
    async def on_post(self, _req: Request, resp: Response) -> None:
        resp.status = 201


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def client(router: Router) -> TestClient:
    app = falcon.asgi.App(router=router)
    app.req_options.strip_url_path_trailing_slash = True
    app.add_route("/items/{item_id:id}", Item())
    app.add_route("/items", Box())
    return TestClient(app)


@pytest.mark.parametrize("number", [1, 7, 2**63 - 1])
def test_a_number_is_an_id(number: int, client: TestClient) -> None:
    assert client.simulate_get(f"/items/{number}").json == {"id": number}


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "00",
        "007",
        "-1",
        "+5",
        "1_0",
        "१२",
        "%E0%A5%A7",
        "²",
        "1.0",
        "1e3",
        " 1",
        "1%20",
        "%00",
        "abc",
        str(2**63),
        "9" * 5000,
    ],
)
def test_an_invalid_id_gets_404(text: str, client: TestClient) -> None:
    assert client.simulate_get(f"/items/{text}").status_code == 404


def test_a_trailing_slash_makes_no_difference(client: TestClient) -> None:
    assert client.simulate_get("/items/7/").json == {"id": 7}
    assert client.simulate_post("/items/").status_code == 201


def test_head_returns_the_headers_of_get_without_the_body(client: TestClient) -> None:
    get, head = client.simulate_get("/items/7"), client.simulate_head("/items/7")

    assert (head.status_code, head.headers["content-length"]) == (200, get.headers["content-length"])
    assert head.content == b""


def test_a_wrong_method_gets_405_with_the_allowed_methods(client: TestClient) -> None:
    item, box = client.simulate_put("/items/7"), client.simulate_head("/items")

    assert (item.status_code, box.status_code) == (405, 405)
    assert set(item.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE", "OPTIONS"}
    assert set(box.headers["allow"].split(", ")) == {"POST", "OPTIONS"}


def test_options_returns_the_allowed_methods(client: TestClient) -> None:
    response = client.simulate_options("/items/7")

    assert response.status_code == 200
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE"}


def test_the_router_keeps_a_list_of_its_paths(client: TestClient, router: Router) -> None:
    assert [(mapped.path, sorted(mapped.responders)) for mapped in router.paths] == [
        ("/items/{item_id:id}", ["DELETE", "GET", "HEAD"]),
        ("/items", ["POST"]),
    ]


class Undeclared:
    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = "open to everybody"


class OfAnotherPath:
    @operation(204, tag="items")
    async def on_delete(self, thing_id: int) -> None:
        """Delete a thing."""


def test_a_responder_without_a_declaration_is_refused(router: Router) -> None:
    with pytest.raises(TypeError, match="GET /forgotten has a responder without a declaration"):
        router.add_route("/forgotten", Undeclared(), _asgi=True)


def test_a_responder_must_have_the_parameters_of_its_path(router: Router) -> None:
    with pytest.raises(TypeError, match="other parameters than the path has"):
        router.add_route("/items/{item_id:id}", OfAnotherPath(), _asgi=True)
