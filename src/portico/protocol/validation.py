"""Decode params into their struct; when that fails, say everything that is wrong with them.

The fast path is msgspec's own validation, which stops at the first error in its own words. Only
when it fails is the value walked again against the type, to collect all errors in the words that
clients of the protocol know: `must have required property 'x'; at /path: must be string`. Of each
object the first missing and the first unexpected property are named, as other servers do.

Source: OpenClaw gateway protocol, "Standard texts".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from portico.protocol.errors import InvalidRequest

T = TypeVar("T")
MAX_REPORTED = 8


class Params(msgspec.Struct, forbid_unknown_fields=True, rename="camel", frozen=True):
    """Base of every method's params: closed, camelCase on the wire."""


class OpenParams(msgspec.Struct, rename="camel", frozen=True):
    """Base of the few params the protocol leaves open: unknown keys are ignored."""


class Empty(Params, frozen=True):
    """`{}`."""


class Result(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """Base of results: camelCase on the wire, members at their default left out."""


@lru_cache(maxsize=1024)
def _cached_decoder(params_type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(params_type)


def params_decoder(params_type: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of a params type, made once."""
    return _cached_decoder(params_type)  # type: ignore[arg-type]  # a type is hashable


def decode_params(params_type: type[T], raw: msgspec.Raw | bytes, *, what: str) -> T:
    """Decode raw JSON params.

    Args:
        what: goes into the message: `invalid <what>: …`, usually `"<method> params"`.

    Raises:
        InvalidRequest: with every problem and its path.
    """
    try:
        return params_decoder(params_type).decode(raw or b"null")
    except (msgspec.DecodeError, RecursionError) as error:
        raise explain(params_type, raw, error, what=what) from None


def explain(
    params_type: type[Any],
    raw: msgspec.Raw | bytes,
    error: msgspec.DecodeError | RecursionError,
    *,
    what: str,
) -> InvalidRequest:
    """Turn a failed decoding into the error that says everything that is wrong."""
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return InvalidRequest(f"invalid {what}: not valid JSON")
    try:
        problems = describe_problems(params_type, bytes(raw)) or [str(error)]
    except RecursionError:
        problems = ["nested too deeply"]
    return InvalidRequest(f"invalid {what}: {'; '.join(problems)}")


def describe_problems(params_type: type[Any], data: bytes) -> list[str]:
    """Return every way in which the JSON in `data` does not fit the type, at most eight."""
    return describe_value(params_type, msgspec.json.decode(data or b"null"))


@lru_cache(maxsize=1024)
def _type_info(params_type: Any) -> inspect.Type:
    return inspect.type_info(params_type)


def describe_value(params_type: type[Any], value: Any) -> list[str]:
    """Return every way in which decoded JSON does not fit the type, at most eight."""
    found: list[str] = []
    kind = _type_info(params_type)  # type: ignore[arg-type]  # a type is hashable
    for problem in _problems(kind, value, ""):
        if problem not in found:
            found.append(problem)
        if len(found) == MAX_REPORTED:
            break
    return found


def _at(path: str, message: str) -> str:
    return f"at {path}: {message}" if path else message


def _problems(kind: inspect.Type, value: Any, path: str) -> Iterator[str]:
    match kind:
        case inspect.Metadata():
            yield from _problems(kind.type, value, path)
        case inspect.StructType():
            yield from _struct_problems(kind, value, path)
        case inspect.UnionType():
            yield from _union_problems(kind, value, path)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            yield from _list_problems(kind, value, path)
        case inspect.DictType():
            yield from _dict_problems(kind, value, path)
        case _:
            yield from _scalar_problems(kind, value, path)


def _scalar_problems(kind: inspect.Type, value: Any, path: str) -> Iterator[str]:
    match kind:
        case inspect.LiteralType():
            if value not in kind.values:
                yield _at(path, _CONSTANT if len(kind.values) == 1 else _ENUM)
        case inspect.EnumType():
            if value not in {member.value for member in kind.cls}:
                yield _at(path, _ENUM)
        case inspect.StrType():
            yield from _string_problems(kind, value, path)
        case inspect.IntType() | inspect.FloatType():
            yield from _number_problems(kind, value, path)
        case inspect.BoolType():
            if not isinstance(value, bool):
                yield _at(path, "must be boolean")
        case inspect.NoneType():
            if value is not None:
                yield _at(path, "must be null")
        case _:
            return


def _dict_problems(kind: inspect.DictType, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _at(path, "must be object")
        return
    for key, item in value.items():
        yield from _problems(kind.value_type, item, f"{path}/{key}")


_CONSTANT = "must be equal to constant"
_ENUM = "must be equal to one of the allowed values"


def _struct_problems(kind: inspect.StructType, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _at(path, "must be object")
        return
    fields = {field.encode_name: field for field in kind.fields}
    if kind.tag_field is not None:
        yield from _tag_problems([kind], value, path)
        value = {name: member for name, member in value.items() if name != kind.tag_field}
    missing = [name for name, field in fields.items() if field.required and name not in value]
    if missing:
        yield _at(path, f"must have required property '{missing[0]}'")
    if kind.forbid_unknown_fields:
        unexpected = next((name for name in value if name not in fields), None)
        if unexpected is not None:
            yield f"at {path or 'root'}: unexpected property '{unexpected[:80]}'"
    for name, field in fields.items():
        if name in value:
            yield from _problems(field.type, value[name], f"{path}/{name}")


def _tag_problems(
    kinds: list[inspect.StructType], value: dict[str, Any], path: str
) -> Iterator[str]:
    """Say what is wrong with the member that tells which of some structs is meant."""
    tag = str(kinds[0].tag_field)
    if tag not in value:
        yield _at(path, f"must have required property '{tag}'")
    elif value[tag] not in {kind.tag for kind in kinds}:
        yield _at(f"{path}/{tag}", _CONSTANT if len(kinds) == 1 else _ENUM)


def _union_problems(kind: inspect.UnionType, value: Any, path: str) -> Iterator[str]:
    if value is None and any(isinstance(t, inspect.NoneType) for t in kind.types):
        return
    concrete = [t for t in kind.types if not isinstance(t, inspect.NoneType)]
    tagged = [t for t in concrete if isinstance(t, inspect.StructType) and t.tag_field is not None]
    if tagged and isinstance(value, dict):
        meant = [t for t in tagged if value.get(str(t.tag_field)) == t.tag]
        if not meant:
            yield from _tag_problems(tagged, value, path)
            return
        concrete = [*meant]
    attempts = [list(_problems(t, value, path)) for t in concrete]
    if attempts and all(attempts):
        yield from min(attempts, key=len)


def _string_problems(kind: inspect.StrType, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield _at(path, "must be string")
    elif kind.min_length is not None and len(value) < kind.min_length:
        yield _at(path, f"must not have fewer than {kind.min_length} characters")
    elif kind.max_length is not None and len(value) > kind.max_length:
        yield _at(path, f"must not have more than {kind.max_length} characters")
    elif kind.pattern is not None and not re.search(kind.pattern, value):
        yield _at(path, f'must match pattern "{kind.pattern}"')


def _number_problems(
    kind: inspect.IntType | inspect.FloatType, value: Any, path: str
) -> Iterator[str]:
    wanted = int if isinstance(kind, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        yield _at(path, "must be integer" if wanted is int else "must be number")
    elif kind.ge is not None and value < kind.ge:
        yield _at(path, f"must be >= {kind.ge}")
    elif kind.le is not None and value > kind.le:
        yield _at(path, f"must be <= {kind.le}")


def _list_problems(
    kind: inspect.ListType | inspect.VarTupleType | inspect.SetType, value: Any, path: str
) -> Iterator[str]:
    if not isinstance(value, list):
        yield _at(path, "must be array")
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        yield _at(path, f"must not have fewer than {kind.min_length} items")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield _at(path, f"must not have more than {kind.max_length} items")
    for index, item in enumerate(value):
        yield from _problems(kind.item_type, item, f"{path}/{index}")
