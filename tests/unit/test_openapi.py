"""The API description that is built from declared routes is complete."""

import re
from typing import Annotated, Any, Literal

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, RootModel

from api.http.bodies import FORM, JSON, MERGE_PATCH, RawBody, StreamedBody
from api.http.fields import FormInput, Identifier, Input, Instant, PageQuery
from api.http.openapi import build_description
from api.http.operation import operation
from api.http.routing import Router
from core.representations import Page, Representation

PROBLEM = "application/problem+json"


class NoteInput(Input):
    """A note to write."""

    text: str
    color: Literal["red", "green"] = "red"
    owner_id: Identifier | None = None


class NoteOut(BaseModel):
    """A note that was written."""

    id: int
    text: str
    at: Instant | None
    labels: list[str]


class NoteTable(RootModel[str]):
    """Notes as a table."""


class NoteQuery(PageQuery):
    """Which notes to list."""

    color: Literal["red", "green"] | None = None
    labels: tuple[str, ...] | None = None


class NoteForm(FormInput):
    """A note to write, as a form."""

    text: str


class Notes:
    @operation(200, list[NoteOut], tag="notes", headers=("Link", "X-Total-Count"))
    async def on_get(self, query: NoteQuery) -> Page:
        """List notes."""
        return Page("[]", query.skip)

    @operation(201, NoteOut, tag="notes", headers=("Location",), errors=(409,))
    async def on_post(self, body: NoteInput | NoteForm) -> Representation:
        """Write a note.

        By hand.
        """
        return Representation(7, body.model_dump_json())


class Note:
    @operation(200, NoteOut, tag="notes", body_optional=True, errors=(403, 404))
    async def on_patch(self, note_id: int, body: NoteInput) -> Representation:
        """Change a note."""
        return Representation(note_id, body.model_dump_json())

    @operation(204, tag="notes", errors=(404,))
    async def on_delete(self, note_id: int) -> None:
        """Burn a note."""


class Files:
    @operation(200, NoteOut, tag="notes", media_type="application/x-ndjson", alternatives={"text/csv": NoteTable})
    async def on_post(
        self, body: Annotated[StreamedBody, RawBody({"text/csv": NoteTable}, StreamedBody.of)]
    ) -> dict[str, str]:
        """Send notes."""
        return {"type": body.media_type}


class Open:
    @operation(200, NoteOut, tag="door", public=True)
    async def on_get(self, name: str) -> dict[str, str]:
        """Ask."""
        return {"name": name}


@pytest.fixture
def router() -> Router:
    router = Router()
    for path in ("/notes", "/v1/notes"):
        router.add_route(path, Notes(), _asgi=True)
    router.add_route("/notes/{note_id:id}", Note(), _asgi=True)
    router.add_route("/files", Files(), _asgi=True)
    router.add_route("/doors/{name}", Open(), _asgi=True)
    return router


@pytest.fixture
def described(router: Router) -> dict[str, Any]:
    return build_description("Notes", router.paths)


def operations(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in described["paths"].values() for operation in path.values()]


class TestDocument:
    def test_the_document_is_valid_openapi_3_1(self, described: dict[str, Any]) -> None:
        OpenAPIV31SpecValidator(described).validate()
        assert described["openapi"].startswith("3.1")
        assert described["info"]["title"] == "Notes"
        assert described["tags"] == [{"name": "notes"}, {"name": "door"}]

    def test_every_declared_route_is_described(self, described: dict[str, Any]) -> None:
        assert {path: list(item) for path, item in described["paths"].items()} == {
            "/notes": ["get", "post"],
            "/v1/notes": ["get", "post"],
            "/notes/{note_id}": ["patch", "delete"],
            "/files": ["post"],
            "/doors/{name}": ["get"],
        }

    def test_each_operation_has_a_unique_id(self, described: dict[str, Any]) -> None:
        ids = [operation["operationId"] for operation in operations(described)]
        assert len(ids) == len(set(ids)) == 8

    def test_operations_that_need_a_token_have_security(self, described: dict[str, Any]) -> None:
        closed, public = described["paths"]["/notes"]["get"], described["paths"]["/doors/{name}"]["get"]

        assert closed["security"] == [{"bearer": []}, {"password": []}]
        assert public["security"] == []
        assert "401" in closed["responses"]
        assert "401" not in public["responses"]
        assert set(described["components"]["securitySchemes"]) == {"bearer", "password"}

    def test_request_bodies_are_described_by_media_type(self, described: dict[str, Any]) -> None:
        post = described["paths"]["/notes"]["post"]["requestBody"]
        patch = described["paths"]["/notes/{note_id}"]["patch"]["requestBody"]

        assert (list(post["content"]), post["required"]) == ([JSON, FORM], True)
        assert (list(patch["content"]), patch["required"]) == ([JSON, MERGE_PATCH], False)

    def test_streamed_bodies_and_alternative_media_types_are_described(self, described: dict[str, Any]) -> None:
        post = described["paths"]["/files"]["post"]
        table = {"$ref": "#/components/schemas/NoteTable"}

        assert {kind: content["schema"] for kind, content in post["requestBody"]["content"].items()} == {
            "text/csv": table
        }
        assert list(post["responses"]["200"]["content"]) == ["application/x-ndjson", "text/csv"]
        assert post["responses"]["200"]["content"]["text/csv"]["schema"] == table
        assert {"400", "413", "415"} <= set(post["responses"])

    def test_responses_are_described_with_their_headers(self, described: dict[str, Any]) -> None:
        listed = described["paths"]["/notes"]["get"]["responses"]["200"]
        written = described["paths"]["/notes"]["post"]["responses"]["201"]
        deleted = described["paths"]["/notes/{note_id}"]["delete"]["responses"]["204"]

        assert listed["content"][JSON]["schema"]["items"] == {"$ref": "#/components/schemas/NoteOut"}
        assert {"Link", "X-Total-Count", "X-Request-ID", "RateLimit-Remaining"} <= set(listed["headers"])
        assert "Location" in written["headers"]
        assert "content" not in deleted

    def test_implied_error_responses_are_added(self, described: dict[str, Any]) -> None:
        responses = {
            (path, method): set(operation["responses"]) - {"200", "201", "204", "422", "429", "503"}
            for path, item in described["paths"].items()
            for method, operation in item.items()
        }

        assert responses["/notes", "get"] == {"401", "403"}
        assert responses["/notes", "post"] == {"400", "401", "403", "409", "413", "415"}
        assert responses["/notes/{note_id}", "delete"] == {"401", "403", "404"}
        assert responses["/doors/{name}", "get"] == set()

    def test_every_failure_is_a_problem_with_an_example(self, described: dict[str, Any]) -> None:
        for name, response in described["components"]["responses"].items():
            (content_type,) = response["content"]
            example = response["content"][content_type]["example"]
            assert content_type == PROBLEM
            assert re.sub(r"\W", "", example["title"]) == name
            assert example["type"].endswith(example["code"])
        assert set(described["components"]["responses"]["TooManyRequests"]["headers"]) >= {"Retry-After"}
        assert set(described["components"]["responses"]["Unauthorized"]["headers"]) >= {"WWW-Authenticate"}

    def test_parameters_are_described(self, described: dict[str, Any]) -> None:
        query = {parameter["name"]: parameter for parameter in described["paths"]["/notes"]["get"]["parameters"]}
        (note_id,) = described["paths"]["/notes/{note_id}"]["delete"]["parameters"]
        (name,) = described["paths"]["/doors/{name}"]["get"]["parameters"]

        assert set(query) == {"skip", "limit", "color", "labels"}
        assert query["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
        assert query["color"]["schema"] == {"type": "string", "enum": ["red", "green"]}
        assert (query["labels"]["schema"]["type"], query["labels"]["explode"]) == ("array", False)
        assert (note_id["in"], note_id["schema"]["type"], note_id["schema"]["maximum"]) == (
            "path",
            "integer",
            2**63 - 1,
        )
        assert name["schema"] == {"type": "string"}

    def test_every_body_and_response_has_a_valid_example(self, described: dict[str, Any]) -> None:
        contents = [
            content
            for operation in operations(described)
            for part in (operation.get("requestBody", {}), *operation["responses"].values())
            for content in part.get("content", {}).values()
        ]

        assert contents
        assert all("example" in content for content in contents)
        NoteInput.model_validate(described["paths"]["/notes"]["post"]["requestBody"]["content"][JSON]["example"])
        (note,) = described["paths"]["/notes"]["get"]["responses"]["200"]["content"][JSON]["example"]
        assert set(note) == set(NoteOut.model_fields)
