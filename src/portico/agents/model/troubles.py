"""What a failed model call means: for the person, for the operator, for what is tried next."""

from __future__ import annotations

from dataclasses import dataclass

import openai
from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelTimeoutError,
)

from portico.agents.model.finish import NothingSaid, NotJson, Unfinished
from portico.agents.runtime import ErrorKind, Failed

ASK_OPERATOR = "The operator can find out why in the gateway log."


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failed call.

    Attributes:
        message: a sentence for the person; no internals.
        again: asking the same model again may help.
        retry_after_s: how long the provider asked us to wait.
        rests: other turns had better not ask the model for a while.
    """

    message: str
    kind: ErrorKind = "unknown"
    again: bool = False
    retry_after_s: float | None = None
    rests: bool = True

    def failed(self) -> Failed:
        """Return it as the end of a turn."""
        return Failed(self.message, self.kind)


def judge(error: BaseException, model: str, silence_s: float) -> Trouble:
    """Return what an error of a call to `model` means."""
    if isinstance(error, ModelRequestRejectedError | ContentFilterError | ImportError):
        return _refused(error, model)
    wait = error.retry_after if isinstance(error, ModelAPIError) else None
    match error:
        case ModelQuotaExceededError():
            return Trouble(f"The account for {model} has run out of credit.", "rate_limit")
        case ModelRateLimitError():
            return Trouble(_busy(model, wait), "rate_limit", again=True, retry_after_s=wait)
        case TimeoutError() | ModelTimeoutError():
            return Trouble(f"{model} said nothing for {silence_s:g} s.", "timeout", again=True)
        case Unfinished() | NothingSaid() | NotJson():
            return _no_answer(error, model)
        case ModelConnectionError() | openai.APIConnectionError() | OSError():
            return Trouble(f"{model} could not be reached. {ASK_OPERATOR}", again=True)
        case ModelAPIError():
            status = error.status_code if isinstance(error, ModelHTTPError) else None
            again = status is None or status >= 500
            what = "is not available now" if again else "could not answer"
            return Trouble(f"{model} {what}. {ASK_OPERATOR}", again=again, retry_after_s=wait)
        case _:
            text = f"{model} sent an answer that could not be understood. {ASK_OPERATOR}"
            return Trouble(text, again=True)


def _refused(error: BaseException, model: str) -> Trouble:
    match error:
        case ImportError():
            return Trouble(f"{model} needs a part of Portico that is not installed. {ASK_OPERATOR}")
        case ModelContextWindowExceededError():
            return Trouble(
                "This conversation has become too long for the model. Start a new one with /new.",
                "context_length",
            )
        case ModelAuthenticationError():
            return Trouble(f"{model} does not accept the gateway's credentials. {ASK_OPERATOR}")
        case ModelNotFoundError():
            return Trouble(f"Its provider does not know the model {model}. {ASK_OPERATOR}")
        case ContentFilterError():
            return Trouble("The model declined to answer this.", "refusal")
        case _:
            return Trouble(f"{model} refused this request. {ASK_OPERATOR}", "refusal")


def _no_answer(error: Unfinished | NothingSaid | NotJson, model: str) -> Trouble:
    if isinstance(error, Unfinished):
        return Trouble(f"{model} stopped before it was done. {ASK_OPERATOR}", again=True)
    if isinstance(error, NotJson):
        text = f"{model} did not answer in the JSON that was asked for."
        return Trouble(text, again=True, rests=False)
    if error.at_limit:
        return Trouble(f"{model} used up its longest answer before it said anything.")
    return Trouble(f"{model} gave an empty answer. {ASK_OPERATOR}", again=True)


def _busy(model: str, wait_s: float | None) -> str:
    when = f" Try again in {wait_s:.0f} s." if wait_s else " Try again in a moment."
    return f"{model} is busy: too many requests.{when}"
