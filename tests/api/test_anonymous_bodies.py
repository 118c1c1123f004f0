"""Bodies that anybody may send without a token are small."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from api.http.bodies import ANONYMOUS_BODY_BYTES
from tests.api.callers import Caller, assert_problem, invalid_fields

Addresses = list[tuple[str, str, str]]


@pytest.fixture
def addresses(anybody: Caller) -> Addresses:
    """Method, path and media type of every operation that reads a body without a token."""
    paths: dict[str, dict[str, Any]] = anybody.get("/openapi.json").json()["paths"]
    return [
        (method, path, media_type)
        for path, methods in paths.items()
        for method, operation in methods.items()
        if not operation.get("security") and "requestBody" in operation
        for media_type in operation["requestBody"]["content"]
    ]


def test_a_body_without_a_token_is_at_most_16_kib(anybody: Caller, addresses: Addresses) -> None:
    assert {path for _, path, _ in addresses} >= {"/api/v1/auth/login", "/auth/refresh", "/user", "/login"}
    body = b"x" * (ANONYMOUS_BODY_BYTES + 1)

    def in_chunks() -> Iterator[bytes]:
        yield body

    for method, path, media_type in addresses:
        for data in (body, in_chunks()):
            response = anybody(method, path, data=data, headers={"Content-Type": media_type})
            assert_problem(response, 413, "body_too_large")


def test_the_largest_body_without_a_token_is_read(anybody: Caller) -> None:
    empty = orjson.dumps({"email": ""})
    body = empty.replace(b'""', b'"' + b"x" * (ANONYMOUS_BODY_BYTES - len(empty)) + b'"')
    assert len(body) == ANONYMOUS_BODY_BYTES

    response = anybody.post("/api/v1/auth/register", data=body, headers={"Content-Type": "application/json"})

    assert "email" in invalid_fields(response)


def test_a_body_with_a_token_may_be_larger(as_alice: Caller) -> None:
    response = as_alice.patch("/api/v1/auth/me", json={"full_name": "x" * ANONYMOUS_BODY_BYTES})

    assert invalid_fields(response) == ["full_name"]
