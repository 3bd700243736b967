"""The conversation with one program: handshake, sessions, prompts, and what it asks of us.

Of the client's side of the protocol we offer permission requests and nothing else: no files, no
terminals; a program has its own. Importing this imports the `acp` library.

Guarantees: whatever the program sends, nothing is raised into the library's loop; at most so many
permission requests wait at a time; a request to the program ends when the program does.

Source: Agent Client Protocol, version 1; the `acp` library (its connection and its schema).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from acp import PROTOCOL_VERSION, RequestError, schema
from acp.connection import Connection
from acp.meta import AGENT_METHODS, CLIENT_METHODS
from pydantic import BaseModel, ValidationError

from portico import __version__
from portico.agents.acp.content import Block, Takes
from portico.agents.acp.permissions import Option
from portico.agents.acp.pipes import Pipes
from portico.agents.acp.settings import AcpSettings
from portico.agents.acp.talk import Done, Talk
from portico.agents.acp.troubles import AcpTrouble, Ended, Refused, Unruly, Unstartable
from portico.agents.acp.updates import Updates
from portico.agents.runtime import Usage

M = TypeVar("M", bound=BaseModel)
Permit = Callable[[Mapping[str, Any], list[Option]], Awaitable[Option | None]]
MAX_PERMISSIONS = 16
MAX_UNASKED = 100_000
"""Updates outside of an answer; a session that is loaded tells its whole story."""
TOLD_S = 0.25
"""A session that was loaded has been told when nothing more came for so long."""
AUTH_REQUIRED = -32000
MAX_DETAIL_CHARS = 1_000


class AcpClient:
    """Speaks with one program, in one of its sessions at a time."""

    def __init__(self, pipes: Pipes, settings: AcpSettings) -> None:
        self._pipes = pipes
        self._settings = settings
        self._connection = Connection(self._handle, pipes)
        self._talk: Talk | None = None
        self._updates = Updates()
        self._permit: Permit | None = None
        self._unasked = 0
        self._asking: set[asyncio.Task[Any]] = set()
        self.session_id: str | None = None
        self.can_load = False
        self.takes = Takes()
        pipes.room = self._room

    @property
    def is_asking(self) -> bool:
        """Whether the program waits for a permission."""
        return bool(self._asking)

    async def initialize(self) -> None:
        """Shake hands, and log in when that is configured.

        Raises:
            AcpTrouble: the program does not speak our version of the protocol.
        """
        request = schema.InitializeRequest(
            protocol_version=PROTOCOL_VERSION,
            client_capabilities=schema.ClientCapabilities(
                fs=schema.FileSystemCapabilities(read_text_file=False, write_text_file=False),
                terminal=False,
            ),
            client_info=schema.Implementation(name="portico", version=__version__),
        )
        answer = await self._ask("initialize", request, schema.InitializeResponse)
        if answer.protocol_version != PROTOCOL_VERSION:
            raise Unstartable(f"it speaks version {answer.protocol_version} of the protocol")
        self._learn(answer.agent_capabilities)
        if self._settings.auth_method is not None:
            login = schema.AuthenticateRequest(method_id=self._settings.auth_method)
            await self._ask("authenticate", login, schema.AuthenticateResponse)

    def _learn(self, can: Any) -> None:
        # What cannot be understood the library leaves as a plain object.
        if not isinstance(can, schema.AgentCapabilities):
            return
        self.can_load = bool(can.load_session)
        takes = can.prompt_capabilities
        if isinstance(takes, schema.PromptCapabilities):
            self.takes = Takes(bool(takes.image), bool(takes.audio), bool(takes.embedded_context))

    async def new_session(self) -> str:
        """Begin a session that knows nothing; return its id."""
        request = schema.NewSessionRequest(cwd=self._settings.cwd, mcp_servers=[])
        answer = await self._ask("session_new", request, schema.NewSessionResponse)
        self.session_id = answer.session_id
        return answer.session_id

    async def load_session(self, session_id: str) -> bool:
        """Take a session of another program up; `False`: this one does not know it."""
        request = schema.LoadSessionRequest(
            cwd=self._settings.cwd, mcp_servers=[], session_id=session_id
        )
        try:
            await self._ask("session_load", request, schema.LoadSessionResponse)
        except Refused:
            return False
        self.session_id = session_id
        await self._until_told()
        return True

    async def _until_told(self) -> None:
        # The story comes before the answer, says the protocol; Gemini CLI goes on after it.
        told = -1
        while told < self._unasked:
            told = self._unasked
            await asyncio.sleep(TOLD_S)

    def open(self, talk: Talk, updates: Updates, permit: Permit) -> None:
        """Let what the program says go to a turn from now on."""
        self._talk, self._updates, self._permit = talk, updates, permit
        self._unasked = 0

    async def prompt(self, blocks: list[Block], talk: Talk) -> None:
        """Ask, and put what came of it at the end of the talk; never raises."""
        params = {"sessionId": self.session_id, "prompt": blocks}
        done: Done
        try:
            raw = await self._request("session_prompt", params)
            answer = _read(schema.PromptResponse, raw)
            done = Done(answer.stop_reason, usage=_usage(answer))
        except AcpTrouble as trouble:
            done = Done(error=trouble)
        await asyncio.sleep(0)  # what came before the answer is on its way into the talk
        talk.put(done)

    async def cancel(self) -> None:
        """Ask the program to stop answering; its requests for permission are over."""
        self.hang_up()
        method = AGENT_METHODS["session_cancel"]
        try:
            await self._connection.send_notification(method, {"sessionId": self.session_id})
        except ConnectionError:
            return

    def hang_up(self) -> None:
        """The turn is gone: what the program still says is dropped, what it asks is refused."""
        talk, self._talk, self._permit = self._talk, None, None
        if talk is not None:
            talk.close()
        for asking in self._asking:
            asking.cancel()

    async def close(self) -> None:
        """End the connection; the program is ended by its owner."""
        self.hang_up()
        await self._connection.close()

    # -- what the program sends ------------------------------------------------------------------

    async def _room(self) -> None:
        if self._talk is not None:
            await self._talk.room()

    async def _handle(self, method: str, params: Any, is_notification: bool) -> Any:  # noqa: FBT001 - the library's
        given = params if isinstance(params, dict) else {}
        if method == CLIENT_METHODS["session_update"]:
            self._take(given)
            return None
        if method == CLIENT_METHODS["session_request_permission"] and not is_notification:
            return await self._permission(given)
        if is_notification:
            return None
        raise RequestError.method_not_found(method)

    def _take(self, given: dict[str, Any]) -> None:
        update, talk = given.get("update"), self._talk
        if talk is None:
            self._unasked += 1
            if self._unasked > MAX_UNASKED:
                self._pipes.stop("it talks on and on, and nobody asked it anything")
        if talk is None or not isinstance(update, dict) or not self._is_ours(given):
            return
        for event in self._updates.events(update):
            talk.put(event, len(str(event)))

    async def _permission(self, given: dict[str, Any]) -> dict[str, Any]:
        permit, talk, call = self._permit, self._talk, given.get("toolCall")
        refused = {"outcome": {"outcome": "cancelled"}}
        if permit is None or talk is None or not self._is_ours(given):
            return refused
        if not isinstance(call, dict) or len(self._asking) >= MAX_PERMISSIONS:
            return refused
        for event in self._updates.asked(call):
            talk.put(event)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the library runs each request in one
        self._asking.add(task)
        try:
            option = await permit(call, _options(given.get("options")))
        except asyncio.CancelledError:
            if self._talk is talk:
                raise
            task.uncancel()  # the turn is over, the program is not: it gets its answer
            return refused
        finally:
            self._asking.discard(task)
            self._pipes.heard()
        if option is None:
            return refused
        return {"outcome": {"outcome": "selected", "optionId": option.option_id}}

    def _is_ours(self, given: dict[str, Any]) -> bool:
        return self.session_id is not None and given.get("sessionId") == self.session_id

    # -- what we send ----------------------------------------------------------------------------

    async def _ask(self, name: str, request: BaseModel, answer: type[M]) -> M:
        params = request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return _read(answer, await self._request(name, params))

    async def _request(self, name: str, params: dict[str, Any]) -> Any:
        try:
            return await self._connection.send_request(AGENT_METHODS[name], params)
        except RequestError as error:
            raise _refusal(name, error) from error
        except ConnectionError as error:
            trouble = self._pipes.trouble
            raise (Ended() if trouble is None else Unruly(trouble)) from error


def _read(model: type[M], raw: Any) -> M:
    try:
        return model.model_validate({} if raw is None else raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Unruly(f"{model.__name__}: {first['loc']}: {first['msg']}") from error


def _refusal(name: str, error: RequestError) -> Refused:
    detail = f"{name}: {error} ({error.code}) {error.data if error.data is not None else ''}"
    if error.code == AUTH_REQUIRED:
        return Refused(detail[:MAX_DETAIL_CHARS], "The agent's program is not logged in.")
    return Refused(detail[:MAX_DETAIL_CHARS])


def _options(given: Any) -> list[Option]:
    listed = given if isinstance(given, list) else []
    return [
        Option(one["optionId"], str(one.get("kind")))
        for one in listed
        if isinstance(one, dict) and isinstance(one.get("optionId"), str)
    ]


def _usage(answer: schema.PromptResponse) -> Usage | None:
    used = answer.usage
    if used is None:
        return None
    return Usage(
        input=used.input_tokens,
        output=used.output_tokens,
        cache_read=used.cached_read_tokens or 0,
        cache_write=used.cached_write_tokens or 0,
    )
