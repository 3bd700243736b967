"""The OpenAPI 3.1 document, made from the table of endpoints and their msgspec structs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from portico.web.endpoint import Answer, Endpoint
from portico.web.gate import Access
from portico.web.problem import JSON

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
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
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
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
    for endpoint in table:
        yield endpoint.error
        if endpoint.body is not None:
            yield endpoint.body
        for answer in endpoint.answers.values():
            if answer.body not in {None, str, bytes}:
                yield answer.body


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    shared = {} if endpoint.access is Access.PUBLIC else _shared(endpoint.error)
    answers = {**shared, 405: _METHOD_NOT_ALLOWED, **endpoint.answers}
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": {str(code): _answer(answers[code], schemas) for code in sorted(answers)},
    }
    if endpoint.access is not Access.PUBLIC:
        operation["security"] = [{"bearer": []}]
    if parameters := [*_parameters(endpoint)]:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        content = {JSON: {"schema": schemas[endpoint.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for query in endpoint.query:
        yield {
            "name": query.name,
            "in": "query",
            "required": query.required,
            "description": query.description,
            "schema": {"type": "string"},
        }


def _shared(error: type[Any]) -> dict[int, Answer]:
    """Return what the door and the shell may answer at every endpoint that has a door."""
    wait = {"Retry-After": "Seconds."}
    return {
        401: Answer("No or a wrong credential.", error),
        403: Answer("The caller may not do this.", error),
        429: Answer("Too many failed attempts; wait.", error, headers=wait),
        500: Answer("The gateway failed.", error),
    }


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
