"""The routes of the gateway message API.

A run outlives the connection that asked for it: who comes back with the same `request_id` gets its
answer. A caller that wants the opposite sets `cancel_on_disconnect`.

Source: gateway message API, "HTTP surface".
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from portico.protocol.scopes import Scope
from portico.tasks import Tasks
from portico.turns.model import TurnRow
from portico.web.body import decode_json, read_body
from portico.web.connection import CLIENT_GONE, SSE, EventStream, unless_gone
from portico.web.endpoint import Answer, Endpoint, HttpCall, Query
from portico.web.gate import Access
from portico.web.messages.answer import failure_of, reply_of, usage_of
from portico.web.messages.model import (
    CancelRequest,
    CancelResponse,
    MessageRequest,
    MessageResponse,
    StatusResponse,
    StreamEvent,
)
from portico.web.messages.service import MessageService, Ticket
from portico.web.messages.stream import EventId, parse_event_id
from portico.web.problem import ErrorBody, json_response

BASE = "/v1/gateway"
MAX_CANCEL_BODY = 64 * 1024

_RETRY_AFTER = {"Retry-After": "Seconds to wait."}
_SUBMIT_ANSWERS = {
    400: Answer("The request cannot be understood, or the model is unknown.", ErrorBody),
    403: Answer("The user is not allowed, or the credential lacks a scope.", ErrorBody),
    408: Answer("The body did not arrive in time.", ErrorBody),
    409: Answer("An id was used before for something else; or the run was canceled.", ErrorBody),
    413: Answer("The body is too large.", ErrorBody),
    429: Answer("Too many requests wait for this session.", ErrorBody, headers=_RETRY_AFTER),
    500: Answer("The agent or the gateway failed.", ErrorBody),
    503: Answer("Not accepting.", ErrorBody, headers=_RETRY_AFTER),
    504: Answer("The agent did not finish, or begin, in time.", ErrorBody),
}


def message_endpoints(
    messages: MessageService, *, tasks: Tasks, max_body_bytes: int
) -> list[Endpoint]:
    """Return the endpoints of the API."""
    doors = _Doors(messages, tasks, max_body_bytes)
    bad_request = Answer("The request cannot be understood.", ErrorBody)
    too_large = Answer("The body is too large.", ErrorBody)
    unknown = Answer("Nobody knows this request (any more).", ErrorBody)
    events = Answer("Events until the run has ended.", StreamEvent, SSE)
    return [
        Endpoint(
            method="POST",
            path=f"{BASE}/messages",
            handle=doors.send,
            operation="sendMessage",
            summary="Send one message and wait for the answer.",
            body=MessageRequest,
            answers={200: Answer("The answer.", MessageResponse), **_SUBMIT_ANSWERS},
            access=Access.OPENABLE,
            needs=Scope.WRITE,
        ),
        Endpoint(
            method="POST",
            path=f"{BASE}/messages:stream",
            handle=doors.stream,
            operation="streamMessage",
            summary="Send one message and follow its run as server-sent events.",
            body=MessageRequest,
            answers={200: events, **_SUBMIT_ANSWERS},
            access=Access.OPENABLE,
            needs=Scope.WRITE,
        ),
        Endpoint(
            method="GET",
            path=f"{BASE}/messages:stream",
            handle=doors.resume,
            operation="resumeStream",
            summary="Follow a run that was started earlier, from the last event seen.",
            query=(
                Query("request_id", "The request to follow.", required=True),
                Query("last_event_id", "The last event seen; also as header Last-Event-ID."),
                Query("progress_after_text_delta", "`true`: progress also after the first text."),
            ),
            answers={200: events, 400: bad_request, 404: unknown},
            access=Access.OPENABLE,
            needs=Scope.READ,
        ),
        Endpoint(
            method="GET",
            path=f"{BASE}/status",
            handle=doors.status,
            operation="getStatus",
            summary="Where a request is: queued, running, or how it ended.",
            query=(Query("request_id", "The request.", required=True),),
            answers={200: Answer("Its state.", StatusResponse), 400: bad_request, 404: unknown},
            access=Access.OPENABLE,
            needs=Scope.READ,
        ),
        Endpoint(
            method="POST",
            path=f"{BASE}/cancel",
            handle=doors.cancel,
            operation="cancelRequest",
            summary="Cancel a request, or everything in a session, queued or running.",
            body=CancelRequest,
            answers={
                200: Answer("Whether something was canceled.", CancelResponse),
                400: bad_request,
                408: Answer("The body did not arrive in time.", ErrorBody),
                413: too_large,
            },
            access=Access.OPENABLE,
            needs=Scope.WRITE,
        ),
    ]


class _Doors:
    """The handlers."""

    def __init__(self, messages: MessageService, tasks: Tasks, max_body_bytes: int) -> None:
        self._messages = messages
        self._tasks = tasks
        self._max_body_bytes = max_body_bytes

    async def send(self, call: HttpCall) -> Response:
        """Answer `POST messages`."""
        asked = await self._read(call.request)
        ticket = await self._messages.submit(asked)
        if ticket.request_id is None:
            return json_response(MessageResponse(ignored=True))
        request_id = ticket.request_id
        row = await unless_gone(call.request, self._messages.wait(request_id), tasks=self._tasks)
        if row is None:
            self._gone(asked, ticket)
            return Response(status_code=CLIENT_GONE)
        return _answer(ticket, row)

    async def stream(self, call: HttpCall) -> EventStream:
        """Answer `POST messages:stream`."""
        asked = await self._read(call.request)
        ticket = await self._messages.submit(asked)
        options = asked.stream_options
        events = self._messages.stream(
            ticket,
            after=_last_event_id(call.request),
            progress_after_text=bool(options and options.progress_after_text_delta),
        )
        return EventStream(events, on_gone=lambda: self._gone(asked, ticket))

    async def resume(self, call: HttpCall) -> EventStream:
        """Answer `GET messages:stream`."""
        ticket = await self._messages.resume(call.request.query_params.get("request_id", ""))
        wants_more = call.request.query_params.get("progress_after_text_delta") == "true"
        events = self._messages.stream(
            ticket, after=_last_event_id(call.request), progress_after_text=wants_more
        )
        return EventStream(events)

    async def status(self, call: HttpCall) -> Response:
        """Answer `GET status`."""
        request_id = call.request.query_params.get("request_id", "")
        state = await self._messages.status(request_id)
        return json_response(state, headers={"cache-control": "no-store"})

    async def cancel(self, call: HttpCall) -> Response:
        """Answer `POST cancel`."""
        body = await read_body(call.request, limit=MAX_CANCEL_BODY)
        return json_response(await self._messages.cancel(decode_json(body, CancelRequest)))

    async def _read(self, request: Request) -> MessageRequest:
        body = await read_body(request, limit=self._max_body_bytes)
        return decode_json(body, MessageRequest)

    def _gone(self, asked: MessageRequest, ticket: Ticket) -> None:
        if asked.cancel_on_disconnect and ticket.request_id and not ticket.duplicate:
            cancelling = self._messages.abandoned(ticket.request_id)
            self._tasks.start(cancelling, name=f"http.abandoned:{ticket.request_id}")


def _answer(ticket: Ticket, row: TurnRow) -> Response:
    failure = failure_of(row)
    if failure is None:
        body = MessageResponse(
            session_id=ticket.session_id,
            request_id=ticket.request_id,
            reply=reply_of(row),
            usage=usage_of(row.result),
        )
        return json_response(body)
    body = MessageResponse(
        session_id=ticket.session_id, request_id=ticket.request_id, error=failure.error
    )
    return json_response(body, failure.status)


def _last_event_id(request: Request) -> EventId:
    given = request.headers.get("last-event-id") or request.query_params.get("last_event_id", "")
    return parse_event_id(given)
