"""How the result of an operation becomes its response."""

import re
from typing import Any

import orjson
import pytest
from falcon.asgi import Response
from falcon.testing import create_asgi_req
from pydantic import BaseModel

from api.http.call import Call
from api.http.fields import PageQuery
from api.http.responses import write_result
from core.representations import CursorPage, Listing, Page, Representation

TASK = Representation(7, '{"id":7}', version=3)
# A page is written as it is, so its items need not fit its total.
PAGE = Page('[{"id":7}]', 120)


def write(
    result: Any,
    *headers: str,
    method: str = "GET",
    query: BaseModel | None = None,
    as_array: bool = False,
    query_string: str = "",
    **sent: str,
) -> Response:
    request = create_asgi_req(path="/v1/tasks", method=method, query_string=query_string, headers=sent)
    response = Response()
    write_result(Call(request, response, query=query), result, headers, as_array=as_array)
    return response


def links(response: Response) -> dict[str, str]:
    """The targets of the `Link` header by their relation."""
    header = response.get_header("Link")
    parts = [] if header is None else [link.split("; rel=") for link in header.split(", ")]
    return {relation: target.strip("<>") for target, relation in parts}


def test_plain_data_becomes_json() -> None:
    assert write({"unread": 3}).data == b'{"unread":3}'
    assert write({"user": orjson.Fragment('{"id":1}')}).data == b'{"user":{"id":1}}'


def test_a_listing_is_an_array() -> None:
    assert write(Listing('[{"id":7}]')).data == b'[{"id":7}]'


class TestRepresentation:
    def test_its_json_is_the_body(self) -> None:
        assert write(TASK).data == b'{"id":7}'

    def test_headers_are_set_only_if_they_are_declared(self) -> None:
        bare, declared = write(TASK), write(TASK, "Location", "ETag", method="POST")

        assert (bare.get_header("Location"), bare.get_header("ETag")) == (None, None)
        assert (declared.get_header("Location"), declared.get_header("ETag")) == ("/v1/tasks/7", '"3"')

    def test_the_tag_of_a_task_changes_with_its_forecast(self) -> None:
        tags = [
            write(Representation(7, f'{{"id":7,"forecast":{forecast}}}', version=3), "ETag").get_header("ETag")
            for forecast in ("null", '{"rain":0}', '{"rain":1}')
        ]

        assert tags[0] == '"3"'
        assert all(re.fullmatch('"3-[0-9a-f]{16}"', str(tag)) for tag in tags[1:])
        assert tags[1] != tags[2]

    def test_a_text_that_looks_like_a_forecast_is_none(self) -> None:
        task = orjson.dumps({"title": ',"forecast":{"rain":0}', "forecast": None}).decode()

        assert write(Representation(7, task, version=3), "ETag").get_header("ETag") == '"3"'

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_version_that_the_client_has_is_not_sent_again(self, method: str) -> None:
        response = write(TASK, "ETag", method=method, **{"If-None-Match": '"3"'})

        assert (response.status_code, response.data) == (304, None)
        assert response.get_header("ETag") == '"3"'

    @pytest.mark.parametrize(
        ("method", "declared", "tag"), [("GET", "ETag", '"2"'), ("PUT", "ETag", '"3"'), ("GET", "Location", '"3"')]
    )
    def test_otherwise_it_is_sent(self, method: str, declared: str, tag: str) -> None:
        response = write(TASK, declared, method=method, **{"If-None-Match": tag})

        assert (response.status_code, response.data) == (200, b'{"id":7}')


class TestPage:
    def test_has_an_envelope(self) -> None:
        response = write(PAGE, query=PageQuery(skip=20, limit=10))

        assert orjson.loads(response.data) == {"items": [{"id": 7}], "total": 120, "skip": 20, "limit": 10}

    @pytest.mark.parametrize("cursor", ["abc", None])
    def test_with_a_cursor_names_it_in_the_envelope(self, cursor: str | None) -> None:
        response = write(CursorPage("[]", 0, cursor), query=PageQuery())

        assert orjson.loads(response.data)["next_cursor"] == cursor

    def test_may_be_a_bare_array(self) -> None:
        assert write(PAGE, query=PageQuery(), as_array=True).data == b'[{"id":7}]'

    def test_headers_are_set_only_if_they_are_declared(self) -> None:
        bare = write(PAGE, query=PageQuery())
        declared = write(PAGE, "X-Total-Count", "Link", query=PageQuery())

        assert (bare.get_header("X-Total-Count"), bare.get_header("Link")) == (None, None)
        assert declared.get_header("X-Total-Count") == "120"
        assert declared.get_header("Link") is not None

    def test_without_a_total_has_null_and_no_header(self) -> None:
        response = write(CursorPage("[]", None, None), "X-Total-Count", query=PageQuery())

        assert orjson.loads(response.data)["total"] is None
        assert response.get_header("X-Total-Count") is None

    def test_needs_a_query_that_says_which_page_it_is(self) -> None:
        with pytest.raises(TypeError, match="needs a query that is a PageQuery"):
            write(PAGE)


class TestLinks:
    @pytest.mark.parametrize(
        ("skip", "relations"),
        [
            (0, {"first": 0, "next": 50}),
            (20, {"first": 0, "prev": 0, "next": 70}),
            (50, {"first": 0, "prev": 0, "next": 100}),
            (70, {"first": 0, "prev": 20}),
            (500, {"first": 0, "prev": 450}),
        ],
    )
    def test_lead_to_the_neighbouring_pages(self, skip: int, relations: dict[str, int]) -> None:
        response = write(PAGE, "Link", query=PageQuery(skip=skip, limit=50))

        assert links(response) == {
            relation: f"/v1/tasks?skip={target}&limit=50" for relation, target in relations.items()
        }

    @pytest.mark.parametrize(
        ("cursor", "relations"), [("next one", {"first", "prev", "next"}), (None, {"first", "prev"})]
    )
    def test_lead_to_the_next_page_without_a_total(self, cursor: str | None, relations: set[str]) -> None:
        response = write(CursorPage("[]", None, cursor), "Link", query=PageQuery(skip=20, limit=10))

        assert links(response).keys() == relations

    def test_repeat_the_filters_of_the_request(self) -> None:
        response = write(
            PAGE, "Link", query=PageQuery(skip=0, limit=100), query_string="q=clean+%26+dry&skip=0&city=K%C3%B6ln"
        )

        assert links(response)["next"] == "/v1/tasks?q=clean+%26+dry&city=K%C3%B6ln&skip=100&limit=100"

    def test_follow_a_cursor_until_the_last_page(self) -> None:
        query = PageQuery(limit=10)
        middle = write(CursorPage("[]", 120, "next one"), "Link", query=query, query_string="limit=10&cursor=this")
        last = write(CursorPage("[]", 120, None), "Link", query=query, query_string="limit=10&cursor=this")

        assert links(middle) == {"next": "/v1/tasks?limit=10&cursor=next+one"}
        assert links(last) == {}
