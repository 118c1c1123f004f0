"""The OpenAPI 3.1 document, made of the declarations at the responders (`api.operations`)."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from api.operations import Operation, operation_of
from api.routing import Route
from api.schemas.common import Problem
from core import __version__

PROBLEM_TYPE: Final = "application/problem+json"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_REFERENCES: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)(:\w+)?\}")
_SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"password": []}]
_DESCRIPTION: Final = """\
Tasks with weather, analytics and live events.

Failures are problem documents (RFC 9457) with a stable `code`. Times are RFC 3339 with a zone. Paths without `/api/v1`
are the same resources, except that `GET /tasks` answers a bare array. Live events come over the WebSocket `/ws`.
"""
_LIMIT_HEADERS: Final = {
    "RateLimit-Limit": "How many requests a window holds.",
    "RateLimit-Remaining": "How many of them are left.",
    "RateLimit-Reset": "Seconds until the next window.",
    "X-Request-ID": "The id of this request, as sent or made.",
}


def _declared(route: Route) -> Iterator[tuple[str, Any]]:
    for method, responder in route.responders.items():
        if method.lower() in _METHODS:
            yield method.lower(), responder


def undocumented(routes: Iterable[Route]) -> list[str]:
    """The routes and methods that lack a declaration."""
    return [
        f"{method.upper()} {route.path}"
        for route in routes
        for method, responder in _declared(route)
        if operation_of(responder) is None
    ]


def build_document(app_name: str, routes: Iterable[Route]) -> dict[str, Any]:
    """Build the document of all declared routes."""
    return _Builder().build(app_name, routes)


class _Builder:
    """Collects the schemas while the paths are built."""

    def __init__(self) -> None:
        self._schemas: dict[str, Any] = {}

    def build(self, app_name: str, routes: Iterable[Route]) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for route in routes:
            for method, responder in _declared(route):
                declared = operation_of(responder)
                if declared is not None:
                    path = _PARAMETER.sub(r"{\1}", route.path)
                    paths.setdefault(path, {})[method] = self._operation(method, route.path, declared)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": app_name,
                "version": __version__,
                "description": _DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": self._schemas, "securitySchemes": _security_schemes()},
        }

    def _operation(self, method: str, path: str, declared: Operation) -> dict[str, Any]:
        built: dict[str, Any] = {
            "operationId": _operation_id(method, path),
            "summary": declared.summary,
            "tags": [declared.tag],
            "parameters": [*_path_parameters(path), *self._query_parameters(declared.query)],
            "responses": self._responses(declared, path),
        }
        if declared.description:
            built["description"] = declared.description
        if declared.bodies:
            built["requestBody"] = self._request_body(declared)
        if not declared.public:
            built["security"] = _SECURITY
        return built

    def _request_body(self, declared: Operation) -> dict[str, Any]:
        content = {kind: {"schema": self._schema(body, "validation")} for kind, body in declared.bodies.items()}
        return {"required": not declared.body_optional, "content": content}

    def _query_parameters(self, query: type[BaseModel] | None) -> list[dict[str, Any]]:
        if query is None:
            return []
        schema = query.model_json_schema(ref_template=_REFERENCES)
        required = schema.get("required", [])
        return [
            {"name": name, "in": "query", "required": name in required, "schema": definition, "explode": False}
            for name, definition in schema.get("properties", {}).items()
        ]

    def _responses(self, declared: Operation, path: str) -> dict[str, Any]:
        success: dict[str, Any] = {
            "description": HTTPStatus(declared.status).phrase,
            "headers": _headers(_success_headers(declared, path)),
        }
        if declared.answer is not None:
            success["content"] = {"application/json": {"schema": self._schema(declared.answer, "serialization")}}
        failures = {str(status): self._failure(status) for status in sorted(_failures(declared))}
        return {str(declared.status): success} | failures

    def _failure(self, status: int) -> dict[str, Any]:
        phrase = HTTPStatus(status).phrase
        example = {
            "type": "urn:allweather:problem:…",
            "title": phrase,
            "status": status,
            "detail": "What went wrong, for people.",
            "code": "…",
            "request_id": "0f5c3d2e9a6b4c7d8e1f2a3b4c5d6e7f",
        }
        return {
            "description": phrase,
            "headers": _headers(_LIMIT_HEADERS),
            "content": {PROBLEM_TYPE: {"schema": self._schema(Problem, "serialization"), "example": example}},
        }

    def _schema(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCES, mode=mode)
        self._schemas |= schema.pop("$defs", {})
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            self._schemas[kind.__name__] = schema
            return {"$ref": _REFERENCES.format(model=kind.__name__)}
        return schema


def _failures(declared: Operation) -> set[int]:
    implied = {429, 503}
    if not declared.public:
        implied.add(401)
    if declared.bodies:
        implied |= {400, 413, 415, 422}
    if declared.query is not None:
        implied.add(422)
    return implied | set(declared.errors)


def _success_headers(declared: Operation, path: str) -> dict[str, str]:
    headers = dict(_LIMIT_HEADERS)
    if declared.status == HTTPStatus.CREATED and path.endswith("/tasks"):
        headers["Location"] = "Where the new one is."
    if declared.query is not None and "skip" in declared.query.model_fields:
        headers |= {"X-Total-Count": "How many there are on all pages.", "Link": "The neighbouring pages (RFC 8288)."}
    return headers


def _headers(descriptions: dict[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in descriptions.items()}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    number = {"type": "integer", "format": "int64", "minimum": 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": number if converter else {"type": "string"}}
        for name, converter in _PARAMETER.findall(path)
    ]


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", _PARAMETER.sub(r"\1", path))
    return "_".join([method, *words])


def _security_schemes() -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "password": {
            "type": "oauth2",
            "flows": {
                "password": {"tokenUrl": "/api/v1/auth/login", "refreshUrl": "/api/v1/auth/refresh", "scopes": {}}
            },
        },
    }
