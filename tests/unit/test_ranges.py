"""Which bytes a `Range` header asks for."""

import pytest
from falcon import HTTPRangeNotSatisfiable
from falcon.testing import create_asgi_req

from api.http.ranges import requested_range

SIZE = 100
TAG = '"the hash"'


def requested(value: str, method: str = "GET", size: int = SIZE, **headers: str) -> tuple[int, int] | None:
    request = create_asgi_req(method=method, headers={"Range": value} | headers)
    return requested_range(request, size, TAG)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=10-19", (10, 20)),
        ("bytes=99-99", (99, 100)),
        ("bytes=90-", (90, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=-10", (90, 100)),
        ("Bytes= 0-9 ", (0, 10)),
    ],
)
def test_a_range_has_a_first_byte_and_an_excluded_end(value: str, part: tuple[int, int]) -> None:
    assert requested(value) == part


@pytest.mark.parametrize(
    ("value", "part"), [("bytes=90-1000", (90, 100)), ("bytes=-1000", (0, 100)), ("bytes=0-" + "9" * 19, (0, 100))]
)
def test_a_range_ends_with_the_content(value: str, part: tuple[int, int]) -> None:
    assert requested(value) == part


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes=",
        "bytes=-",
        "bytes=9-0",
        "bytes=0-1,5-6",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes=²-³",
        "bytes=0-" + "9" * 20,
        "lines=0-9",
        "0-9",
    ],
)
def test_what_is_not_one_range_means_the_whole_content(value: str) -> None:
    assert requested(value) is None


def test_a_request_without_a_range_means_the_whole_content() -> None:
    assert requested_range(create_asgi_req(), SIZE, TAG) is None


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_only_a_get_has_a_range(method: str) -> None:
    assert requested("bytes=0-9", method) is None


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_bytes_that_the_content_does_not_have_are_refused(value: str) -> None:
    with pytest.raises(HTTPRangeNotSatisfiable) as refused:
        requested(value)

    assert refused.value.headers == {"Content-Range": "bytes */100"}


def test_empty_content_has_no_bytes() -> None:
    pytest.raises(HTTPRangeNotSatisfiable, requested, "bytes=0-", size=0)


@pytest.mark.parametrize(
    ("known", "part"), [(TAG, (0, 10)), ('"another hash"', None), ("Fri, 01 May 2026 09:00:00 GMT", None)]
)
def test_a_range_of_another_version_means_the_whole_content(known: str, part: tuple[int, int] | None) -> None:
    assert requested("bytes=0-9", **{"If-Range": known}) == part
