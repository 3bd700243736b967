"""What to change in the file to add an account of a channel, or to take one away.

Guarantees: an account that is added is complete: its channel is installed and takes the settings.
Other accounts stay as they are, also one that stood alone under the channel's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from portico.config.channels import DEFAULT_ACCOUNT, accounts_of, manifests
from portico.config.edit import Change
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.keypath import KeyPath, format_path
from portico.config.sections.channels import Channels

if TYPE_CHECKING:
    from portico.config.service import LoadedConfig


def adding(
    now: LoadedConfig, channel: str, account: str, settings: Mapping[str, Any]
) -> list[Change]:
    """Return what adds an account, or changes the settings of one that is there.

    Raises:
        ConfigError: no such channel is installed, or it does not take the settings.
    """
    where: KeyPath = ("channels", channel)
    if channel not in manifests():
        known = ", ".join(sorted(manifests())) or "none"
        _refuse(where, f"no channel called {channel!r} is installed", f"installed: {known}")
    written = _written(now, channel)
    changes = _changes(where, written, account, settings)
    _check(now, channel, account, settings, written)
    return changes


def removing(now: LoadedConfig, channel: str, account: str) -> list[Change]:
    """Return what takes an account away; with the last one its channel goes.

    Raises:
        ConfigError: it is not there.
    """
    where: KeyPath = ("channels", channel)
    written = now.source.get("channels", {}).get(channel)
    if not isinstance(written, Mapping):
        _refuse(where, "is not there", "see what is: portico channels list")
    accounts = written.get("accounts")
    if not isinstance(accounts, Mapping) or not accounts:
        if account != DEFAULT_ACCOUNT:
            _refuse((*where, "accounts", account), "is not there", "portico channels list")
        return [Change.removal(*where)]
    if account not in accounts:
        _refuse((*where, "accounts", account), "is not there", "portico channels list")
    if len(accounts) == 1:
        return [Change.removal(*where)]
    return [Change.removal(*where, "accounts", account)]


def _written(now: LoadedConfig, channel: str) -> dict[str, Any]:
    written = now.source.get("channels", {}).get(channel, {})
    return dict(written) if isinstance(written, Mapping) else {}


def _changes(
    where: KeyPath, written: dict[str, Any], account: str, settings: Mapping[str, Any]
) -> list[Change]:
    accounts = written.get("accounts")
    is_flat = not isinstance(accounts, Mapping) or not accounts
    if not written:
        value = dict(settings) if account == DEFAULT_ACCOUNT else {"accounts": {account: settings}}
        return [Change(where, {"enabled": True, **value})]
    if is_flat and account == DEFAULT_ACCOUNT:
        return [Change((*where, key), value) for key, value in settings.items()]
    changes = []
    if is_flat:  # what stands there alone stays an account beside the new one
        changes.append(Change((*where, "accounts"), {DEFAULT_ACCOUNT: {}, account: settings}))
    elif account in (accounts or {}):
        own = (*where, "accounts", account)
        changes += [Change((*own, key), value) for key, value in settings.items()]
    else:
        changes.append(Change((*where, "accounts", account), dict(settings)))
    return changes


def _check(
    now: LoadedConfig,
    channel: str,
    account: str,
    settings: Mapping[str, Any],
    written: dict[str, Any],
) -> None:
    accounts = written.get("accounts")
    own = accounts.get(account, {}) if isinstance(accounts, Mapping) else {}
    whole = {**written, "accounts": {account: {**own, **settings}}}
    defaults = now.require().channels.defaults.model_dump(by_alias=True)
    trial = Channels.model_validate({"defaults": defaults, channel: whole})
    problems = [issue for entry in accounts_of(trial) for issue in entry.problems]
    # A reference is resolved when the file is read; here it only has to be one.
    wrong = [issue for issue in problems if not _refers(issue, settings)]
    if wrong:
        raise ConfigError([_error(issue) for issue in wrong])


def _refers(issue: Issue, settings: Mapping[str, Any]) -> bool:
    from portico.config.references import has_variable, is_secret_ref

    key = issue.path.rsplit(".", 1)[-1]
    value = settings.get(key)
    return is_secret_ref(value) or (isinstance(value, str) and has_variable(value))


def _error(issue: Issue) -> Issue:
    return Issue(Severity.ERROR, issue.path, issue.message, issue.next_step, issue.code)


def _refuse(path: KeyPath, message: str, next_step: str) -> NoReturn:
    raise ConfigError(
        [Issue(Severity.ERROR, format_path(path), message, next_step, "channel.edit")]
    )
