"""The routes of the OpenAI-compatible API.

Source: OpenAI API reference; OpenClaw gateway protocol, "OpenAI-compatible".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from portico.agents.service import Agents
from portico.protocol.scopes import Scope
from portico.tasks import Tasks
from portico.web.body import decode_json, read_body
from portico.web.connection import CLIENT_GONE, EventStream, unless_gone
from portico.web.endpoint import Answer, Endpoint, HttpCall
from portico.web.openai.asking import Reader, check_scopes, wanted_model
from portico.web.openai.chat import ChatAnswer, ProgressStyle
from portico.web.openai.embeddings import Payer, embed
from portico.web.openai.model import (
    ChatCompletion,
    ChatRequest,
    EmbeddingList,
    EmbeddingRequest,
    Model,
    ModelList,
)
from portico.web.openai.problem import OpenAIErrorBody, failed, refuse
from portico.web.openai.responses import ResponseAnswer
from portico.web.openai.responses_model import (
    ResponseObject,
    ResponsesRequest,
)
from portico.web.openai.service import OpenAIRuns, Ticket
from portico.web.openai.target import OWNER, Targets, header
from portico.web.problem import json_response

_STYLES: dict[str, ProgressStyle] = {"tools": "tools", "reasoning": "reasoning"}
_RETRY = {"Retry-After": "Seconds to wait."}


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """Which doors there are, and how large a body each takes; `None`: the door is not there."""

    chat_body_bytes: int | None
    responses_body_bytes: int | None
    max_images: int = 8
    max_urls: int = 8


def openai_endpoints(
    runs: OpenAIRuns,
    *,
    agents: Agents,
    budgets: Payer,
    main_key: str,
    tasks: Tasks,
    settings: OpenAISettings,
) -> list[Endpoint]:
    """Return the endpoints that are enabled; models and embeddings when any other is."""
    targets = Targets(agents, main_key=main_key)
    reader = Reader(
        targets=targets, runs=runs, max_images=settings.max_images, max_urls=settings.max_urls
    )
    doors = _Doors(
        runs, agents=agents, budgets=budgets, targets=targets, reader=reader, tasks=tasks
    )
    table: list[Endpoint] = []
    if settings.chat_body_bytes is not None:
        table.append(_chat_endpoint(doors, settings.chat_body_bytes))
    if settings.responses_body_bytes is not None:
        table.append(_responses_endpoint(doors, settings.responses_body_bytes))
    if table:
        limit = max(settings.chat_body_bytes or 0, settings.responses_body_bytes or 0)
        table += [*_model_endpoints(doors), _embeddings_endpoint(doors, limit)]
    return table


class _Doors:
    """The handlers."""

    def __init__(
        self,
        runs: OpenAIRuns,
        *,
        agents: Agents,
        budgets: Payer,
        targets: Targets,
        reader: Reader,
        tasks: Tasks,
    ) -> None:
        self._runs = runs
        self._agents = agents
        self._budgets = budgets
        self._targets = targets
        self._reader = reader
        self._tasks = tasks

    async def chat(self, call: HttpCall, *, limit: int) -> ASGIApp:
        """Answer `POST /v1/chat/completions`."""
        asked = decode_json(await read_body(call.request, limit=limit), ChatRequest)
        headers = call.request.headers
        principal = check_scopes(headers, call.principal, Scope.WRITE)
        ask = self._reader.chat(asked, headers, principal)
        ticket = await self._runs.submit(ask)
        options = asked.stream_options
        answer = ChatAnswer(
            ticket.run_id,
            created_s=ticket.created_s,
            model=ask.target.model,
            include_usage=bool(options and options.include_usage),
            progress=_STYLES.get(header(headers, "progress").lower(), ""),
        )
        return await self._answer(call, ticket, answer, stream=bool(asked.stream))

    async def responses(self, call: HttpCall, *, limit: int) -> ASGIApp:
        """Answer `POST /v1/responses`."""
        asked = decode_json(await read_body(call.request, limit=limit), ResponsesRequest)
        headers = call.request.headers
        principal = check_scopes(headers, call.principal, Scope.WRITE)
        ask = await self._reader.response(asked, headers, principal)
        ticket = await self._runs.submit(ask)
        answer = ResponseAnswer(_accepted(asked, ticket, ask.target.model))
        return await self._answer(call, ticket, answer, stream=bool(asked.stream))

    async def models(self, call: HttpCall) -> Response:
        """Answer `GET /v1/models`."""
        check_scopes(call.request.headers, call.principal, Scope.READ)
        return json_response(ModelList(data=tuple(map(_model, self._targets.names()))))

    async def model(self, call: HttpCall) -> Response:
        """Answer `GET /v1/models/{id}`."""
        check_scopes(call.request.headers, call.principal, Scope.READ)
        name: str = call.request.path_params["model"]
        self._targets.agent_of(name)
        return json_response(_model(name))

    async def embeddings(self, call: HttpCall, *, limit: int) -> Response:
        """Answer `POST /v1/embeddings`."""
        asked = decode_json(await read_body(call.request, limit=limit), EmbeddingRequest)
        headers = call.request.headers
        principal = check_scopes(headers, call.principal, Scope.WRITE)
        made = await embed(
            self._agents,
            self._targets.chosen(headers, asked.model) or self._agents.default_id,
            model=asked.model or OWNER,
            asked=asked,
            budgets=self._budgets,
            agent_model=wanted_model(headers, principal),
        )
        return json_response(made)

    async def _answer(
        self, call: HttpCall, ticket: Ticket, answer: ChatAnswer | ResponseAnswer, *, stream: bool
    ) -> ASGIApp:
        if stream:
            events = answer.events(self._runs.steps(ticket.run_id))
            return EventStream(events, on_gone=lambda: self._gone(ticket))
        row = await unless_gone(call.request, self._runs.wait(ticket.run_id), tasks=self._tasks)
        if row is None:
            self._gone(ticket)
            return Response(status_code=CLIENT_GONE)
        refused = failed(row)
        if refused is not None:
            return refused
        whole: msgspec.Struct = (
            answer.completion(row) if isinstance(answer, ChatAnswer) else answer.response(row)
        )
        return json_response(whole)

    def _gone(self, ticket: Ticket) -> None:
        if ticket.leaves:
            cancelling = self._runs.abandoned(ticket.run_id)
            self._tasks.start(cancelling, name=f"http.abandoned:{ticket.run_id}")


def _accepted(asked: ResponsesRequest, ticket: Ticket, model: str) -> ResponseObject:
    return ResponseObject(
        id=ticket.run_id,
        created_at=ticket.created_s,
        status="in_progress",
        model=model,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        metadata=asked.metadata or {},
        parallel_tool_calls=asked.parallel_tool_calls is not False,
        previous_response_id=asked.previous_response_id,
        temperature=asked.temperature,
        tool_choice=asked.tool_choice or "auto",
        tools=asked.tools or (),
        top_p=asked.top_p,
        user=asked.user,
    )


def _model(name: str) -> Model:
    owner = "openclaw" if name.lower().startswith("openclaw") else OWNER
    return Model(id=name, owned_by=owner)


# -- the table ---------------------------------------------------------------------------------


def _endpoint(method: Literal["GET", "POST"], path: str, handle: Any, **fields: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        handle=handle,
        needs=Scope.WRITE if method == "POST" else Scope.READ,
        tag="openai",
        refuse=refuse,
        error=OpenAIErrorBody,
        **fields,
    )


def _chat_endpoint(doors: _Doors, limit: int) -> Endpoint:
    return _endpoint(
        "POST",
        "/v1/chat/completions",
        partial(doors.chat, limit=limit),
        operation="createChatCompletion",
        summary="Ask an agent as a chat model.",
        body=ChatRequest,
        answers={200: Answer("The answer.", ChatCompletion), **_run_answers()},
    )


def _responses_endpoint(doors: _Doors, limit: int) -> Endpoint:
    return _endpoint(
        "POST",
        "/v1/responses",
        partial(doors.responses, limit=limit),
        operation="createResponse",
        summary="Ask an agent as a Responses model.",
        body=ResponsesRequest,
        answers={200: Answer("The answer.", ResponseObject), **_run_answers()},
    )


def _model_endpoints(doors: _Doors) -> list[Endpoint]:
    return [
        _endpoint(
            "GET",
            "/v1/models",
            doors.models,
            operation="listModels",
            summary="The agents, as models.",
            answers={200: Answer("The models.", ModelList)},
        ),
        _endpoint(
            "GET",
            "/v1/models/{model:path}",
            doors.model,
            operation="retrieveModel",
            summary="One agent, as a model.",
            answers={
                200: Answer("The model.", Model),
                404: Answer("No agent has this name.", OpenAIErrorBody),
            },
        ),
    ]


def _embeddings_endpoint(doors: _Doors, limit: int) -> Endpoint:
    return _endpoint(
        "POST",
        "/v1/embeddings",
        partial(doors.embeddings, limit=limit),
        operation="createEmbedding",
        summary="Texts as vectors, by agents that can make them.",
        body=EmbeddingRequest,
        answers={200: Answer("The vectors.", EmbeddingList), **_body_answers()},
    )


def _body_answers() -> dict[int, Answer]:
    told = {
        400: "The request cannot be understood or served.",
        404: "No agent has this name.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
    }
    return {status: Answer(text, OpenAIErrorBody) for status, text in told.items()}


def _run_answers() -> Mapping[int, Answer]:
    error = partial(Answer, body=OpenAIErrorBody)
    return {
        **_body_answers(),
        409: error("The key was used for another request; or the run was cancelled."),
        429: error("Too many requests wait for this session.", headers=_RETRY),
        500: error("The agent or the gateway failed."),
        503: error("Not accepting, or it waited too long.", headers=_RETRY),
        504: error("The agent did not finish in time."),
    }
