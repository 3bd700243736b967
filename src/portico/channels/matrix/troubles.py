"""What goes wrong at a homeserver, and what it means for a delivery.

Source: https://spec.matrix.org/latest/client-server-api/#standard-error-response
"""

from __future__ import annotations

from portico.channels.contract import (
    AuthExpired,
    ChannelError,
    RateLimited,
    Rejected,
    Transient,
    Uncertain,
)

DEFAULT_WAIT_S = 5.0
LONGEST_WAIT_S = 3600.0
_LOGGED_OUT = frozenset(
    {"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED"}
)


class Trouble(Exception):
    """The homeserver refused, failed or was not reached. The text is fit for the operator.

    Attributes:
        status: of the HTTP answer; 0: there was none.
        code: the standard error code, such as `M_FORBIDDEN`; empty: none was given.
        may_have_arrived: the request left, and the answer did not come.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int = 0,
        code: str = "",
        retry_after_s: float | None = None,
        may_have_arrived: bool = False,
    ) -> None:
        super().__init__(f"{code}: {text}" if code else text)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.may_have_arrived = may_have_arrived

    @property
    def is_logged_out(self) -> bool:
        """Whether the access token is no longer good; a soft logout is one, too."""
        return self.status == 401 or self.code in _LOGGED_OUT

    @property
    def is_limit(self) -> bool:
        """Whether it was too fast."""
        return self.status == 429 or self.code == "M_LIMIT_EXCEEDED"


def classified(trouble: Trouble) -> ChannelError:
    """Return what a trouble means for the delivery that met it."""
    text = str(trouble)
    if trouble.is_logged_out:
        return AuthExpired(f"the homeserver does not accept the access token ({text})")
    if trouble.is_limit:
        wait_s = DEFAULT_WAIT_S if trouble.retry_after_s is None else trouble.retry_after_s
        return RateLimited(text, retry_after_s=min(LONGEST_WAIT_S, max(0.0, wait_s)))
    if trouble.status == 0:
        return Uncertain(text) if trouble.may_have_arrived else Transient(text)
    if trouble.status >= 500 or trouble.status == 408:
        # It may have been accepted behind whatever answered: the transaction id is for that.
        return Transient(text)
    return Rejected(text)
