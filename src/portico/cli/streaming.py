"""Printing an answer while it is being written.

Source: OpenClaw gateway protocol, `chat` event (delta, final, aborted, error).
"""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol, TextIO

from portico.cli.output import harmless, print_json
from portico.client.messages import text_of

_ENDS: Final = frozenset({"final", "aborted", "error"})


class Answer(Protocol):
    """Where one run's answer goes."""

    def take(self, payload: dict[str, Any]) -> bool:
        """Take one `chat` event; return whether the run has ended with it."""
        ...

    def finish(self, text: str) -> None:
        """Take the whole text, when the end of the run was missed."""
        ...


class JsonAnswer:
    """Prints one JSON object per answer, on one line, when it is complete."""

    def __init__(self, run_id: str, session: str) -> None:
        self._names = {"runId": run_id, "session": session}

    def take(self, payload: dict[str, Any]) -> bool:
        """Wait for the end."""
        state = payload.get("state")
        if state not in _ENDS:
            return False
        error = {"error": payload.get("errorMessage")} if state == "error" else {}
        answer = {**self._names, "state": state, "text": text_of(payload.get("message"))}
        print_json({**answer, **error}, indent=None)
        return True

    def finish(self, text: str) -> None:
        """Print the text as final."""
        print_json({**self._names, "state": "final", "text": text}, indent=None)


class AnswerPrinter:
    """Writes one run's answer to a stream, piece by piece, each piece once."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._shown = ""

    def take(self, payload: dict[str, Any]) -> bool:
        """Show one `chat` event's text; return whether the run has ended with it."""
        state = payload.get("state")
        if state == "delta":
            self._delta(payload)
            return False
        if state not in _ENDS:
            return False
        self.finish(text_of(payload.get("message")))
        if state == "aborted":
            self._line("(stopped)")
        elif state == "error":
            self._line(f"(failed: {payload.get('errorMessage') or 'no reason given'})")
        return True

    def _delta(self, payload: dict[str, Any]) -> None:
        text = str(payload.get("deltaText", ""))
        if payload.get("replace"):
            self.finish(text, end="")
        else:
            self._write(text)
            self._shown += text

    def finish(self, text: str, *, end: str = "\n") -> None:
        """Show what of the whole text is not shown yet; all of it when it has changed."""
        if text.startswith(self._shown):
            self._write(text[len(self._shown) :])
            self._shown = text
        elif text:
            self._write(f"\n{text}")
            self._shown = text
        if self._shown and end:
            self._write(end)

    def _line(self, text: str) -> None:
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        if text:
            # A file gets what was said; a terminal would do what is in it.
            self._out.write(harmless(text) if self._out.isatty() else text)
            self._out.flush()
