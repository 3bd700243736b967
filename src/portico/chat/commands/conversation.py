"""Commands that act on the conversation: stop, begin anew, name, summarise, steer."""

from __future__ import annotations

from portico.chat.commands.book import command
from portico.chat.commands.model import Arg, Asked, Refused, Reply
from portico.chat.commands.words import count
from portico.chat.resetting import NEW_SESSION_TEXT, Resets
from portico.protocol.scopes import Scope
from portico.sessions.mutations import Expected, Patch
from portico.sessions.service import Sessions
from portico.sessions.summary import SummaryFailed
from portico.turns.service import Turns

MAX_NAME = 512
_MESSAGE = Arg("message", "What the agent is told then")


class ConversationCommands:
    """`/stop`, `/new`, `/reset`, `/name`, `/compact`, `/steer`."""

    def __init__(self, *, sessions: Sessions, turns: Turns, resets: Resets) -> None:
        self._sessions = sessions
        self._turns = turns
        self._resets = resets

    @command(
        "stop",
        "Stop what runs and waits in this session.",
        category="session",
        aliases=("abort",),
        scope=Scope.WRITE,
        holds=True,
    )
    async def stop(self, asked: Asked) -> str:
        """Cancel the session's turns."""
        stopped = await self._turns.cancel_session(asked.key, "stop")
        return f"Stopped {count(len(stopped), 'turn')}." if stopped else "Nothing was running."

    @command(
        "new",
        "Start a new session, optionally with a message.",
        category="session",
        args=(_MESSAGE,),
        scope=Scope.ADMIN,
        audience="direct",
        holds=True,
        takes_files=True,
        is_recorded=False,
    )
    async def new(self, asked: Asked) -> Reply:
        """Begin a new transcript."""
        return await self._fresh(asked, "new")

    @command(
        "reset",
        "Reset the session, optionally with a message.",
        category="session",
        args=(_MESSAGE,),
        scope=Scope.ADMIN,
        audience="direct",
        holds=True,
        takes_files=True,
        is_recorded=False,
    )
    async def reset(self, asked: Asked) -> Reply:
        """Begin a new transcript."""
        return await self._fresh(asked, "reset")

    async def _fresh(self, asked: Asked, reason: str) -> Reply:
        order = asked.order
        await self._resets.begin_anew(
            asked.key,
            reason=reason,
            door=f"{order.channel}.command",
            subject=order.giver.subject,
            run_id=order.run_id,
            text=order.text,
        )
        if asked.text or order.request.attachments:
            return Reply(then=asked.text)
        return Reply(text=NEW_SESSION_TEXT)

    @command(
        "name",
        "Name this session, or show its name.",
        category="session",
        aliases=("rename",),
        args=(Arg("title", "The name; `none` takes it away"),),
        scope=Scope.WRITE,
        audience="direct",
        holds=True,
    )
    async def name(self, asked: Asked) -> str:
        """Set the session's label."""
        if not asked.text:
            session = await self._sessions.find(asked.key)
            label = None if session is None else session.label
            return f"This session is called “{label}”." if label else "This session has no name."
        if len(asked.text) > MAX_NAME:
            raise Refused(f"A name has at most {MAX_NAME} characters.")
        label = None if asked.text.lower() == "none" else " ".join(asked.text.split())
        change = Patch(columns={"label": label}, settings={})
        await self._sessions.patch(asked.key, change, Expected())
        return "The name is taken away." if label is None else f"This session is now “{label}”."

    @command(
        "compact",
        "Summarise what the agent remembers of this session.",
        category="session",
        scope=Scope.ADMIN,
        audience="direct",
        timeout_s=180.0,
    )
    async def compact(self, asked: Asked) -> str:
        """Have the agent put a summary in the place of the older part."""
        session = await self._sessions.find(asked.key)
        if session is None or session.message_count == 0:
            raise Refused("There is nothing to summarise.")
        if session.last_run_state == "running":
            raise Refused("A turn is running; try again when it has ended.")
        try:
            kept = await self._sessions.summarise(session, self._turns)
        except SummaryFailed as error:
            raise Refused(f"Not summarised: {error}.") from error
        return f"Summarised; {count(kept, 'entry').replace('entrys', 'entries')} stay as they are."

    @command(
        "steer",
        "Tell the agent something while it answers.",
        category="session",
        aliases=("tell",),
        args=(Arg("message", "What it should know", is_required=True),),
        scope=Scope.WRITE,
        takes_files=True,
    )
    async def steer(self, asked: Asked) -> Reply:
        """Put a message into the running turn; when none runs, it begins one."""
        if not asked.text:
            raise Refused("Say what: /steer <message>")
        return Reply(then=asked.text, queue_mode="steer")
