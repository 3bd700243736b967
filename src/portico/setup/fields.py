"""The settings of a channel that a person is asked for: what its account cannot do without."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from portico.channels.manifest import Manifest
from portico.config.references import has_variable
from portico.config.sections.channels import AccountConfig

_NAME = re.compile(r"[A-Za-z_]\w*")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One setting that is asked for.

    Attributes:
        is_needed: it cannot be left empty.
    """

    name: str
    doc: str
    is_secret: bool
    is_needed: bool


def wanted_fields(
    manifest: Manifest, given: Mapping[str, Any], env: Mapping[str, str]
) -> list[Wanted]:
    """Return what is asked for, in order: what is needed always, then what is still missing.

    Args:
        given: the answers so far by name; an empty text: it was left out.
    """
    settings = manifest.settings()
    own = _own_fields(settings)
    found = [_wanted(name, info, needed=True) for name, info in own.items() if info.is_required()]
    if any(one.name not in given for one in found):
        return found
    needed = {one.name for one in found}
    found += [_wanted(one, own[one], needed=False) for one in given if one in own.keys() - needed]
    missing = _missing(settings, given, env)
    named = _NAME.findall(missing or "")
    if (name := next((one for one in named if one in own and one not in given), None)) is not None:
        found.append(_wanted(name, own[name], needed=False))  # one alternative after the other
    return found


def problem_of(
    manifest: Manifest, name: str, value: str, given: Mapping[str, Any], env: Mapping[str, str]
) -> str | None:
    """Say what is wrong with one setting; `None`: nothing."""
    if unset := unset_variable(value, env):
        return f"The variable {unset} is not set here."
    try:
        manifest.settings().model_validate(resolved({**given, name: value}, env))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            if detail["loc"] and detail["loc"][0] == name:
                return str(detail["msg"]).removeprefix("Value error, ")
    return None


def account_of(
    manifest: Manifest, given: Mapping[str, Any], env: Mapping[str, str]
) -> AccountConfig:
    """Return an account's settings with the values its references stand for.

    Raises:
        ValidationError: something is wrong with them.
    """
    return manifest.settings().model_validate(resolved(given, env))


def resolved(given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that are not empty, references replaced."""
    return {
        name: _VARIABLE.sub(lambda match: env.get(match[1], ""), value)
        for name, value in given.items()
        if value
    }


def unset_variable(value: str, env: Mapping[str, str]) -> str | None:
    """Return the first variable a text refers to that is not there."""
    if not has_variable(value):
        return None
    return next((name for name in _VARIABLE.findall(value) if name not in env), None)


def _own_fields(settings: type[AccountConfig]) -> dict[str, FieldInfo]:
    common = AccountConfig.model_fields
    return {
        info.alias or name: info
        for name, info in settings.model_fields.items()
        if name not in common
    }


def _wanted(name: str, info: FieldInfo, *, needed: bool) -> Wanted:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Wanted(name, info.description or name, bool(extra.get("secret")), needed)


def _missing(
    settings: type[AccountConfig], given: Mapping[str, Any], env: Mapping[str, str]
) -> str | None:
    try:
        return settings.model_validate(resolved(given, env)).missing
    except ValidationError:
        return None
