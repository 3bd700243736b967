"""The OpenAPI 3.1 document, made from the table of endpoints and their msgspec structs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from portico.web.endpoint import Answer, Endpoint
from portico.web.gate import Access
from portico.web.problem import JSON, ErrorBody

_REF = "#/components/schemas/{name}"
_SHARED: dict[int, Answer] = {
    401: Answer("No or a wrong credential.", ErrorBody),
    403: Answer("The caller may not do this.", ErrorBody),
    429: Answer("Too many failed attempts; wait.", ErrorBody, headers={"Retry-After": "Seconds."}),
    500: Answer("The gateway failed.", ErrorBody),
}
_METHOD_NOT_ALLOWED = Answer(
    "Another method.", str, "text/plain", headers={"Allow": "The methods there are."}
)


def openapi_document(endpoints: Iterable[Endpoint], *, version: str) -> dict[str, Any]:
    """Return the document."""
    table = list(endpoints)
    types = list(dict.fromkeys(_types(table)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Portico gateway",
            "version": version,
            "description": "Send messages to an assistant, follow and cancel runs, watch health.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The gateway's token or password.",
                }
            },
        },
    }


def _types(table: list[Endpoint]) -> Iterator[Any]:
    yield ErrorBody
    for endpoint in table:
        if endpoint.body is not None:
            yield endpoint.body
        for answer in endpoint.answers.values():
            if answer.body not in {None, str, bytes}:
                yield answer.body


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    shared = {} if endpoint.access is Access.PUBLIC else _SHARED
    answers = {**shared, 405: _METHOD_NOT_ALLOWED, **endpoint.answers}
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": {str(code): _answer(answers[code], schemas) for code in sorted(answers)},
    }
    if endpoint.access is not Access.PUBLIC:
        operation["security"] = [{"bearer": []}]
    if endpoint.query:
        operation["parameters"] = [
            {
                "name": query.name,
                "in": "query",
                "required": query.required,
                "description": query.description,
                "schema": {"type": "string"},
            }
            for query in endpoint.query
        ]
    if endpoint.body is not None:
        content = {JSON: {"schema": schemas[endpoint.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(answer: Answer, schemas: dict[Any, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.body is not None:
        schema = schemas.get(answer.body, {"type": "string"})
        described["content"] = {answer.content_type: {"schema": schema}}
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in answer.headers.items()
        }
    return described
