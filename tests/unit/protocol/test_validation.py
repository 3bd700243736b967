from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest

from portico.protocol.errors import InvalidRequest
from portico.protocol.validation import Params, decode_params


class Colour(StrEnum):
    RED = "red"


class Inner(Params, frozen=True):
    word: str


class Circle(Params, frozen=True, tag_field="kind", tag="circle"):
    size: int


class Square(Params, frozen=True, tag_field="kind", tag="square"):
    side: int


class Everything(Params, frozen=True):
    need: str
    also: int = 0
    ratio: float = 0.0
    flag: bool = False
    colour: Colour = Colour.RED
    one: Literal["only"] = "only"
    some: Literal["a", "b"] = "a"
    size: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", max_length=3)] = "a"
    items: Annotated[list[int], msgspec.Meta(min_length=1, max_length=2)] = msgspec.field(
        default_factory=lambda: [1]
    )
    words: tuple[str, ...] = ()
    table: dict[str, int] = msgspec.field(default_factory=dict)
    inner: Inner | None = None
    either: int | str | None = None
    unset: int | msgspec.UnsetType = msgspec.UNSET
    form: Circle | Square | None = None
    only: Circle | None = None


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ("", "must be object"),
        ("[]", "must be object"),
        ("{}", "must have required property 'need'"),
        ('{"need":"x","zz":1,"yy":2}', "at root: unexpected property 'zz'"),
        ('{"zz":1}', "must have required property 'need'; at root: unexpected property 'zz'"),
        ('{"need":1}', "at /need: must be string"),
        ('{"need":"x","also":"1"}', "at /also: must be integer"),
        ('{"need":"x","also":true}', "at /also: must be integer"),
        ('{"need":"x","ratio":"1"}', "at /ratio: must be number"),
        ('{"need":"x","flag":0}', "at /flag: must be boolean"),
        ('{"need":"x","colour":"blue"}', "at /colour: must be equal to one of the allowed values"),
        ('{"need":"x","one":"x"}', "at /one: must be equal to constant"),
        ('{"need":"x","some":"x"}', "at /some: must be equal to one of the allowed values"),
        ('{"need":"x","size":0}', "at /size: must be >= 1"),
        ('{"need":"x","form":{"size":1}}', "at /form: must have required property 'kind'"),
        (
            '{"need":"x","form":{"kind":"line"}}',
            "at /form/kind: must be equal to one of the allowed values",
        ),
        ('{"need":"x","form":{"kind":"square","side":"a"}}', "at /form/side: must be integer"),
        ('{"need":"x","only":{"kind":"square"}}', "at /only/kind: must be equal to constant"),
        ('{"need":"x","size":6}', "at /size: must be <= 5"),
        ('{"need":"x","code":"A"}', 'at /code: must match pattern "^[a-z]+$"'),
        ('{"need":"x","code":"aaaa"}', "at /code: must not have more than 3 characters"),
        ('{"need":"x","items":[]}', "at /items: must not have fewer than 1 items"),
        ('{"need":"x","items":[1,2,3]}', "at /items: must not have more than 2 items"),
        ('{"need":"x","items":{}}', "at /items: must be array"),
        ('{"need":"x","items":[1,"b"]}', "at /items/1: must be integer"),
        ('{"need":"x","words":[1]}', "at /words/0: must be string"),
        ('{"need":"x","table":[]}', "at /table: must be object"),
        ('{"need":"x","table":{"a":"b"}}', "at /table/a: must be integer"),
        ('{"need":"x","inner":{}}', "at /inner: must have required property 'word'"),
        (
            '{"need":"x","inner":{"word":"w","x":1}}',
            "at /inner: unexpected property 'x'",
        ),
        ('{"need":"x","either":[]}', "at /either: must be integer"),
        ('{"need":"x","unset":"1"}', "at /unset: must be integer"),
        ('{"need":1,"also":"x"}', "at /need: must be string; at /also: must be integer"),
        ('{"need":', "not valid JSON"),
    ],
)
def test_everything_that_is_wrong_is_said(json, message):
    with pytest.raises(InvalidRequest) as caught:
        decode_params(Everything, json.encode(), what="x.y params")
    assert caught.value.message == f"invalid x.y params: {message}"


def test_good_params_are_decoded():
    assert decode_params(Everything, b'{"need":"x"}', what="p").need == "x"


def test_no_more_than_eight_problems():
    fields = {f"f{n}": (str, ...) for n in range(20)}
    many = msgspec.defstruct("Many", [(name, str) for name in fields])
    raw = msgspec.json.encode(dict.fromkeys(fields, 1))
    with pytest.raises(InvalidRequest) as caught:
        decode_params(many, raw, what="p")
    assert caught.value.message.count("must be string") == 8
