"""`portico onboard`: the wizard in a terminal, or with its answers on the command line."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from portico.cli.command import HERE, Local, command
from portico.cli.exit import ExitCode, Failure
from portico.cli.onboarding import Wizard, find_wizard, page_link
from portico.cli.output import note, print_json
from portico.cli.prompts import ask_step
from portico.cli.target import paths_of

_MAY_GO_UNASKED: Final = frozenset({"model.keySource"})


@command("onboard")
def onboard(
    *,
    flow: Literal["setup", "channels"] = "setup",
    workspace: str | None = None,
    port: int | None = None,
    bind: str | None = None,
    auth: Literal["keep", "token", "password"] | None = None,
    password: str | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    channel: str | None = None,
    setting: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    install_service: bool = False,
    keep_unchecked: bool = False,
    non_interactive: bool = False,
    here: Local = HERE,
) -> int:
    """Set the gateway up, step by step.

    Asks for the workspace, the port, the way in, a language model and a channel, and writes
    nothing before the last answer. What is given here is not asked. With a gateway that runs, it
    takes the settings over. Secrets can stay in the environment: '${OPENAI_API_KEY}'.

    Args:
        flow: setup: everything; channels: only a channel.
        workspace: The directory with the agent's documents and files.
        port: The gateway's port.
        bind: loopback or lan.
        auth: keep, token (a new one) or password.
        password: The password, or ${NAME}; for --auth password.
        provider: Who provides the model: openai, anthropic, ollama …; none or keep for no change.
        base_url: The address of the provider's API, for custom and ollama.
        api_key: The provider's key, or ${NAME}.
        model: The model's name at the provider.
        channel: The first channel, such as telegram; none for none.
        setting: A setting of the channel's account, as name=value; may be repeated.
        install_service: Start the gateway with this machine.
        keep_unchecked: Take the key or account even if the provider could not be asked.
        non_interactive: Ask nothing: what is not given stays as it is.

    Examples:
        portico onboard
        portico onboard --flow channels --channel telegram
        portico onboard --non-interactive --port 18790 --provider openai \
--api-key '${OPENAI_API_KEY}' --model gpt-5-mini --json
    """
    chosen = {
        "workspace": workspace,
        "gateway.port": None if port is None else str(port),
        "gateway.bind": bind,
        "gateway.auth": auth or ("password" if password else None),
        "gateway.password": password,
        "model.provider": provider or ("custom" if base_url else None),
        "model.url": base_url,
        "model.keySource": "enter" if api_key else None,
        "model.key": api_key,
        "model.id": model,
        "channel": channel,
        **_settings(setting),
        "service": install_service or None,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    is_asking = not (non_interactive or here.json)
    if is_asking and not sys.stdin.isatty():
        raise Failure(
            "There is no terminal to ask on.",
            code="usage.no_terminal",
            next_step="Give the answers: portico onboard --non-interactive --help",
            exit_code=ExitCode.USAGE,
        )
    course = _Course(given, is_asking=is_asking, keeps_unchecked=keep_unchecked)
    paths = paths_of(here)
    start: dict[str, Any] = {"flow": flow, "installDaemon": install_service}
    if flow == "channels" and channel is not None:
        start["channel"] = given.pop("channel")
    with asyncio.Runner() as runner:
        wizard = find_wizard(paths, env=os.environ)
        state = course.run(wizard, start, runner)
    return _report(state, page_link(paths, env=os.environ), is_live=wizard.is_live, here=here)


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise Failure(
                f"{one} is not a setting.",
                code="usage.setting",
                next_step="Write it like --setting botToken=123:abc",
                exit_code=ExitCode.USAGE,
            )
        found[f"channel.set.{name.strip()}"] = value
    return found


class _Course:
    """Answers the steps: from the command line, from the person, or with what stands."""

    def __init__(self, given: dict[str, Any], *, is_asking: bool, keeps_unchecked: bool) -> None:
        self._given = given
        self._is_asking = is_asking
        self._keeps_unchecked = keeps_unchecked

    def run(self, wizard: Wizard, start: dict[str, Any], runner: asyncio.Runner) -> dict[str, Any]:
        """Go through to the end; return the wizard's last state.

        A person is asked outside of the event loop, so that Ctrl-C ends the waiting at once.
        """
        state = runner.run(wizard.start(start))
        try:
            while not state["done"]:
                step = state["step"]
                if state.get("error"):
                    self._refused(step["id"], state["error"])
                answer = {"stepId": step["id"], "value": self._answer(step)}
                state = runner.run(wizard.next(answer))
        except BaseException:
            runner.run(wizard.cancel())
            raise
        if state["status"] == "error":
            raise Failure(
                f"Nothing was changed: {state.get('error')}",
                code="onboard.refused",
                next_step="Begin again: portico onboard",
                exit_code=ExitCode.REFUSED,
            )
        return state

    def _answer(self, step: dict[str, Any]) -> Any:
        step_id = step["id"]
        if step_id == "finish" and (left := sorted(self._given.keys() - _MAY_GO_UNASKED)):
            raise Failure(
                f"Given, and not asked: {', '.join(left)}.",
                code="onboard.not_asked",
                next_step="Leave it out; other settings: portico config set, channels add",
                exit_code=ExitCode.USAGE,
            )
        if step_id in self._given:
            return self._given.pop(step_id)
        if self._is_asking:
            return ask_step(step)
        if step_id in {"model.after", "channel.after"}:
            if not self._keeps_unchecked:
                self._refused(step_id, step["message"])
            return "keep"
        if step["type"] == "note":
            return True
        if step.get("initialValue") is None:
            self._refused(step_id, f"{step.get('title', step_id)} is needed")
        return step["initialValue"]

    def _refused(self, step_id: str, message: str) -> None:
        """Say what is wrong; without a person to ask again, that is the end."""
        if self._is_asking:
            note(message)
            return
        raise Failure(
            f"{step_id}: {message}",
            code="onboard.answer",
            next_step="See what can be given: portico onboard --help",
            exit_code=ExitCode.REFUSED,
        )


def _report(state: dict[str, Any], page: str | None, *, is_live: bool, here: Local) -> int:
    is_done = state["status"] == "done"
    paths = paths_of(here)
    if here.json:
        accounts = [f"{one['channel']}:{one['accountId']}" for one in state.get("accounts") or ()]
        facts = {"status": state["status"], "config": str(paths.config_file)}
        print_json({**facts, "accounts": accounts, "running": is_live})
        return ExitCode.OK if is_done else ExitCode.REFUSED
    if not is_done:
        print("Nothing was changed.")
        return ExitCode.REFUSED
    print(f"\nWritten: {paths.config_file}")
    for told in state.get("notes") or ():
        print(told)
    if is_live:
        print("Take changes of port and way in over: portico gateway restart")
    elif not state.get("notes"):
        print("Start the gateway: portico run")
    if page is not None:
        # The token belongs on the owner's screen, not in whatever a pipe writes to.
        print(f"Then open: {page if sys.stdout.isatty() else page.partition('#')[0]}")
    return ExitCode.OK
