"""Which origins may use a browser's cookie or open a socket."""

import pytest
from falcon.testing import create_asgi_req

from api.http.origins import is_allowed_origin

ALLOWED = ("https://app.example.com", "http://localhost:3000")


def is_allowed(origin: str | None, host: str = "api.example.com", port: int = 443) -> bool:
    headers = {} if origin is None else {"Origin": origin}
    return is_allowed_origin(create_asgi_req(host=host, port=port, scheme="https", headers=headers), ALLOWED)


@pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost:3000", "HTTPS://App.Example.COM"])
def test_a_listed_origin_is_allowed(origin: str) -> None:
    assert is_allowed(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://evil.example/https://app.example.com",
        "http://localhost:3001",
        "null",
    ],
)
def test_any_other_origin_is_refused(origin: str) -> None:
    assert not is_allowed(origin)


def test_the_host_that_was_called_is_its_own_origin() -> None:
    assert is_allowed("https://API.example.com")
    assert is_allowed("https://api.example.com:8443", port=8443)
    assert not is_allowed("https://api.example.com", port=8443)


def test_a_client_that_sends_no_origin_is_allowed() -> None:
    assert is_allowed(None)
    assert is_allowed("")
