"""The documentation pages of the API load nothing from other servers."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import falcon.asgi
import pytest
from falcon.testing import TestClient

from api.http import errors
from api.http.openapi import build_description
from api.http.routing import Router
from api.ops import documents


@pytest.fixture
def described() -> dict[str, Any]:
    return build_description("Nothing", Router().paths)


@pytest.fixture
def client(described: dict[str, Any]) -> TestClient:
    app: Any = falcon.asgi.App()
    errors.install(app)
    services: Any = None
    for route in documents.routes(described):
        app.add_route(route.path, route.resource(services))
    return TestClient(app)


class Links(HTMLParser):
    """Collects the URLs that a browser fetches for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]
        assert tag != "script" or "src" in dict(attrs), "the policy forbids scripts in the page"


def sources(policy: str) -> Iterator[str]:
    for directive in policy.split(";"):
        yield from directive.split()[1:]


def test_the_document_is_served_as_it_was_built(client: TestClient, described: dict[str, Any]) -> None:
    response = client.simulate_get("/openapi.json")

    assert response.headers["content-type"] == "application/json"
    assert response.json == described


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_loads_nothing_from_other_servers(path: str, client: TestClient) -> None:
    response = client.simulate_get(path)
    links = Links()
    links.feed(response.text)

    assert response.headers["content-type"].startswith("text/html")
    assert set(sources(response.headers["content-security-policy"])) <= {
        "'none'", "'self'", "'unsafe-inline'", "data:", "blob:",
    }  # fmt: skip
    for link in links.found:
        assert link.startswith(("/docs/assets/", "data:"))
        assert link.startswith("data:") or client.simulate_get(link).status_code == 200


@pytest.mark.parametrize("name", ["swagger.js", "swagger.css", "start-swagger.js", "redoc.js", "start-redoc.js"])
def test_assets_are_cached_and_if_none_match_gets_304(name: str, client: TestClient) -> None:
    first = client.simulate_get(f"/docs/assets/{name}")

    again = client.simulate_get(
        f"/docs/assets/{name}", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    )
    other = client.simulate_get(f"/docs/assets/{name}", headers={"If-None-Match": '"other"'})

    assert (first.status_code, again.status_code, other.status_code) == (200, 304, 200)
    assert first.content
    assert again.content == b""
    assert first.headers["cache-control"] == again.headers["cache-control"] == "public, max-age=86400"


@pytest.mark.parametrize("name", ["scalar.js", "templates.py", "..", "%2e%2e%2fapp.py", "swagger_bundle.js"])
def test_other_files_of_the_package_are_not_served(name: str, client: TestClient) -> None:
    response = client.simulate_get(f"/docs/assets/{name}")

    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
