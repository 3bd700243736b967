"""From what is written under `channels` to one typed settings value per account.

    channels: {
      defaults: { dmPolicy: "pairing" },
      telegram: { botToken: "…" },                                 // the account "default"
      matrix: { homeserver: "…", accounts: { home: {…}, work: {…} } },  // two, sharing a setting
    }

An account's settings are the channel's with its own on top.

Guarantees: what is wrong with one account is that account's problem: it is listed, and neither the
other accounts nor the gateway care. A channel's settings model is imported only when the channel is
written in the file.

Source: entry points, group `portico.channels`, each a manifest with `id` and `settings()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from portico.config.issues import Issue, Severity
from portico.config.keypath import KeyPath, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portico.config.sections.base import Section
    from portico.config.sections.channels import AccountConfig, Channels

ENTRY_POINTS = "portico.channels"
DEFAULT_ACCOUNT = "default"
_CHANNEL_KEYS = frozenset({"accounts", "defaultAccount", "default_account"})


class ChannelManifest(Protocol):
    """As much of a channel's manifest as its settings need."""

    @property
    def id(self) -> str:
        """The channel's name in the file."""
        ...

    def settings(self) -> type[AccountConfig]:
        """Import and return the model of an account's settings."""
        ...


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One account as configured.

    Attributes:
        config: `None` when something is wrong with it: then `problems` says what.
    """

    channel: str
    account: str
    enabled: bool
    config: AccountConfig | None
    problems: tuple[Issue, ...] = ()


@cache
def manifests() -> dict[str, ChannelManifest]:
    """Every installed channel's manifest by id; a manifest that cannot be imported is left out."""
    from importlib.metadata import entry_points

    found: dict[str, ChannelManifest] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            manifest = cast("ChannelManifest", entry.load())
            found[manifest.id] = manifest
        except Exception as error:  # noqa: BLE001 - a stranger's package; said at its accounts
            found[entry.name] = _Broken(entry.name, error)
    return found


@dataclass(frozen=True, slots=True)
class _Broken:
    """Stands for a manifest that cannot be imported."""

    id: str
    error: Exception

    def settings(self) -> type[AccountConfig]:
        """Raise what importing it raised."""
        raise self.error


@cache
def channel_section(channel: str) -> type[Section] | None:
    """What may be written under `channels.<channel>`; `None`: no such channel is installed."""
    from pydantic import create_model

    from portico.config.sections.base import Section, setting

    manifest = manifests().get(channel)
    if manifest is None:
        return None
    try:
        account = manifest.settings()
    except Exception:  # noqa: BLE001 - said where the accounts are checked
        return Section
    fields: dict[str, Any] = {
        "accounts": (
            dict[str, account],  # type: ignore[valid-type]  # made at run time
            setting(doc="Accounts by id.", default_factory=dict, reload="hot"),
        ),
        "default_account": (
            str | None,
            setting(None, "The account that is meant when none is named.", reload="hot"),
        ),
    }
    section: type[Section] = create_model(f"{account.__name__}Channel", __base__=account, **fields)
    return section


def accounts_of(channels: Channels, broken: Iterable[Issue] = ()) -> tuple[AccountEntry, ...]:
    """Every account that is written, checked.

    Args:
        broken: what is wrong with references inside `channels` already.
    """
    found = list(broken)
    return tuple(
        entry
        for channel, written in channels.sections().items()
        for entry in _accounts_of_channel(channel, written, channels, found)
    )


def default_account_of(channels: Channels, channel: str) -> str:
    """Return the account that is meant when none is named."""
    written = channels.sections().get(channel)
    if not isinstance(written, Mapping):
        return DEFAULT_ACCOUNT
    named = written.get("defaultAccount", written.get("default_account"))
    accounts = written.get("accounts")
    if isinstance(named, str) and named:
        return named
    if isinstance(accounts, Mapping) and accounts and DEFAULT_ACCOUNT not in accounts:
        return str(next(iter(accounts)))
    return DEFAULT_ACCOUNT


@dataclass(frozen=True, slots=True)
class _Written:
    """One channel as it is written."""

    manifest: ChannelManifest
    shared: dict[str, Any]
    defaults: dict[str, Any]
    broken: tuple[Issue, ...]

    @property
    def where(self) -> KeyPath:
        return ("channels", self.manifest.id)


def _accounts_of_channel(
    channel: str, written: Any, channels: Channels, broken: list[Issue]
) -> list[AccountEntry]:
    where: KeyPath = ("channels", channel)
    manifest = manifests().get(channel)
    if manifest is None:
        return []
    if not isinstance(written, Mapping):
        return [_wrong(channel, DEFAULT_ACCOUNT, where)]
    accounts = written.get("accounts")
    if accounts is not None and not isinstance(accounts, Mapping):
        return [_wrong(channel, DEFAULT_ACCOUNT, (*where, "accounts"))]
    shared = {key: value for key, value in written.items() if key not in _CHANNEL_KEYS}
    whole = _Written(manifest, shared, _defaults(channels), tuple(broken))
    if not accounts:
        return [_account(whole, DEFAULT_ACCOUNT, {}, where)]
    return [
        _account(whole, str(name), own, (*where, "accounts", str(name)))
        for name, own in accounts.items()
    ]


def _account(written: _Written, account: str, own: Any, where: KeyPath) -> AccountEntry:
    channel, shared = written.manifest.id, written.shared
    if not isinstance(own, Mapping):
        return _wrong(channel, account, where)
    enabled = shared.get("enabled") is not False and own.get("enabled") is not False
    unresolved = tuple(issue for issue in written.broken if _concerns(issue, written.where, where))
    config, problems = _validated(written, own, where)
    problems = unresolved or problems
    return AccountEntry(channel, account, enabled, None if problems else config, problems)


def _concerns(issue: Issue, channel: KeyPath, account: KeyPath) -> bool:
    shared, own = f"{format_path(channel)}.", f"{format_path(account)}."
    if issue.path.startswith(own):
        return True
    return issue.path.startswith(shared) and not issue.path.startswith(f"{shared}accounts")


def _defaults(channels: Channels) -> dict[str, Any]:
    defaults = channels.defaults
    given = {"dmPolicy": defaults.dm_policy, "groupPolicy": defaults.group_policy}
    return {name: value for name, value in given.items() if value is not None}


def _validated(
    written: _Written, own: Mapping[str, Any], where: KeyPath
) -> tuple[AccountConfig | None, tuple[Issue, ...]]:
    from pydantic import ValidationError

    whole = {**written.defaults, **written.shared, **own}
    try:
        return written.manifest.settings().model_validate(whole), ()
    except ValidationError as error:
        return None, tuple(
            _type_problem(detail, where if _is_at(detail["loc"], own) else written.where)
            for detail in error.errors(include_url=False, include_input=False)
        )
    except Exception as error:  # noqa: BLE001 - whatever a stranger's package raises at import
        text = f"the channel cannot be loaded: {type(error).__name__}: {error}"
        return None, (_problem(where, text, "install or mend the package that provides it"),)


def _is_at(location: tuple[int | str, ...], written: Mapping[str, Any]) -> bool:
    return bool(location) and location[0] in written


def _type_problem(detail: Any, where: KeyPath) -> Issue:
    path = (*where, *(step for step in detail["loc"] if step != "[key]"))
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "missing":
        message = "is required"
    return _problem(path, f"{message[:1].lower()}{message[1:]}", "correct it, or remove it")


def _wrong(channel: str, account: str, where: KeyPath) -> AccountEntry:
    problem = _problem(where, "must be an object", "write its settings in braces")
    return AccountEntry(channel, account, enabled=True, config=None, problems=(problem,))


def _problem(path: KeyPath, message: str, next_step: str) -> Issue:
    return Issue(Severity.WARNING, format_path(path), message, next_step, "channel.account")
