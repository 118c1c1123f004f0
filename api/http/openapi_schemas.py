"""Builds the JSON schemas of the API description, and examples of them, from the pydantic models."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from api.http.fields import Problem
from api.http.operation import Operation

Json = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/"
_LIST_OF: Final = re.compile(r"ListOf\[(\w+?)(?:Out|Entry)?\]")
_SCALARS: Final = {"string": "…", "integer": 1, "number": 1.5, "boolean": True}


class _SchemaGenerator(GenerateJsonSchema):
    """Names the schema of a page after its items: `ListOf[CommentOut]` is `CommentList`."""

    def normalize_name(self, name: str) -> str:
        """Return the name of a schema component."""
        return super().normalize_name(_LIST_OF.sub(r"\1List", name))


class Schemas:
    """The JSON schemas of all types that operations use, with examples."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds: dict[tuple[Any, JsonSchemaMode], TypeAdapter[Any]] = {(Problem, "serialization"): TypeAdapter(Problem)}
        for operation in operations:
            for body in operation.bodies.values():
                kinds[body, "validation"] = TypeAdapter(body)
            if operation.returns is not None:
                kinds[operation.returns, "serialization"] = TypeAdapter(operation.returns)
            for alternative in operation.alternatives.values():
                kinds[alternative, "serialization"] = TypeAdapter(alternative)
        # One call for all types, so that pydantic gives different names to two types of the same name, and to a type
        # whose schemas for requests and responses differ.
        self._references, shared = TypeAdapter.json_schemas(
            [(kind, mode, adapter) for (kind, mode), adapter in kinds.items()],
            ref_template=_SCHEMAS + "{model}",
            schema_generator=_SchemaGenerator,
        )
        self.definitions: Json = shared.get("$defs", {})

    def reference(self, kind: Any, mode: JsonSchemaMode) -> Json:
        """Return the schema of a type, or a `$ref` to it."""
        return self._references[kind, mode]

    def content(self, kind: Any, mode: JsonSchemaMode) -> Json:
        """Return the OpenAPI media type object of a request or response body, with an example."""
        schema = self.reference(kind, mode)
        return {"schema": schema, "example": self._example(schema, complete=mode == "serialization")}

    def query_parameters(self, query: type[BaseModel]) -> Iterator[Json]:
        """Return the OpenAPI parameters of a query. Null is not in their schemas: such a parameter is just left out."""
        schema = query.model_json_schema(ref_template=_SCHEMAS + "{model}")
        self.definitions |= schema.get("$defs", {})
        for name, field in schema.get("properties", {}).items():
            given = _never_null(field)
            parameter: Json = {"name": name, "in": "query", "required": name in schema.get("required", ())}
            if "description" in given:
                parameter["description"] = given.pop("description")
            if given.get("type") == "array":
                # Several values are sent as one text, separated by commas.
                parameter |= {"style": "form", "explode": False}
            yield parameter | {"schema": given}

    def _example(self, schema: Json, *, complete: bool) -> Any:
        """Return an example for a schema: with all fields for a response, with the required fields for a request."""
        if "$ref" in schema:
            return self._example(self.definitions[schema["$ref"].removeprefix(_SCHEMAS)], complete=complete)
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0], complete=complete)
        given = [
            *schema.get("examples", ()),
            *schema.get("enum", ()),
            *([schema["const"]] if "const" in schema else ()),
        ]
        match schema.get("type"):
            case "object":
                return self._example_of_object(schema, given[0] if given else {}, complete=complete)
            case _ if given:
                return given[0]
            case "array":
                return [self._example(schema["items"], complete=complete)]
            case scalar:
                return _SCALARS.get(str(scalar))

    def _example_of_object(self, schema: Json, given: Json, *, complete: bool) -> Json:
        """Return the schema's own example, with examples of the fields that it lacks."""
        fields = schema.get("properties", {})
        names = fields if complete else schema.get("required", ())
        return given | {name: self._example(fields[name], complete=complete) for name in names if name not in given}


def _never_null(field: Json) -> Json:
    kept = {key: value for key, value in field.items() if key not in {"title", "anyOf"} and value is not None}
    branches = [branch for branch in field.get("anyOf", ()) if branch != {"type": "null"}]
    return kept | (branches[0] if len(branches) == 1 else {"anyOf": branches} if branches else {})
