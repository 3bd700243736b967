"""How a feature declares an RPC method, and the registry that holds them all.

A feature's `rpc.py` has a class, constructed with the feature's services; each decorated method of
it is one RPC method. From that one declaration come dispatch, validation, authorization,
`features.methods`, the exported schema and the CLI's `call`.

    class CronMethods:
        def __init__(self, cron: CronService) -> None: ...

        @method("cron.remove", scope=Scope.ADMIN)
        async def remove(self, call: Call, params: CronRemove) -> CronRemoved:
            '''Delete one scheduled job.'''

Guarantees: a name registered twice, a handler without a docstring, or one whose params and result
are not annotated fails when the registry is built, not when it is called.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from portico.protocol.scopes import Role, Scope
from portico.protocol.validation import params_decoder
from portico.rpc.call import Call

Handler = Callable[[Call, Any], Any]
ScopeRule = Callable[[Any], Scope]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    scope: Scope | None
    role: Role
    scope_rule: ScopeRule | None
    mutates: bool
    throttled: bool
    advertised: bool
    audit: str | None


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method, ready to be called.

    Attributes:
        scope: what the caller needs; `None`: nothing but a connection.
        scope_rule: decides the scope from the decoded params, when it depends on them.
        mutates: has side effects; `params.idempotency_key`, when given, makes a repeat answer
            what the first call answered.
        throttled: counts against the control-plane write limit.
        audit: under which name a call is recorded; `None`: it changes nothing, or its feature
            records it itself.
        is_async: the handler awaits; the others are answered without a task.
        decoder: of `params`.
    """

    name: str
    handler: Handler
    params: type[Any]
    result: Any
    scope: Scope | None
    role: Role
    scope_rule: ScopeRule | None
    mutates: bool
    throttled: bool
    advertised: bool
    is_async: bool
    doc: str
    audit: str | None
    decoder: msgspec.json.Decoder[Any]


def method(
    name: str,
    *,
    scope: Scope | None,
    role: Role = Role.OPERATOR,
    scope_rule: ScopeRule | None = None,
    mutates: bool = False,
    throttled: bool = False,
    advertised: bool = True,
    audit: str | None = None,
) -> Callable[[F], F]:
    """Declare the decorated method of a feature class as the RPC method `name`."""
    declaration = _Declaration(name, scope, role, scope_rule, mutates, throttled, advertised, audit)

    def mark(function: F) -> F:
        function.__rpc__ = declaration  # type: ignore[attr-defined]  # read by Registry.add
        return function

    return mark


class Registry:
    """Every method of the gateway, by name."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(self, feature: object) -> None:
        """Register every declared method of a feature object.

        Raises:
            TypeError: a declaration is incomplete or its name is taken.
        """
        for attribute in vars(type(feature)).values():
            declaration = getattr(attribute, "__rpc__", None)
            if isinstance(declaration, _Declaration):
                self._register(declaration, attribute, attribute.__get__(feature))

    def _register(
        self, declared: _Declaration, function: Callable[..., Any], bound: Handler
    ) -> None:
        if declared.name in self._methods:
            raise TypeError(f"RPC method {declared.name} is registered twice")
        if not function.__doc__:
            raise TypeError(f"RPC method {declared.name} has no docstring")
        hints = typing.get_type_hints(function)
        if "params" not in hints or "return" not in hints:
            raise TypeError(f"RPC method {declared.name} needs annotated params and result")
        self._methods[declared.name] = Method(
            name=declared.name,
            handler=bound,
            params=hints["params"],
            result=hints["return"],
            scope=declared.scope,
            role=declared.role,
            scope_rule=declared.scope_rule,
            mutates=declared.mutates,
            throttled=declared.throttled,
            advertised=declared.advertised,
            is_async=inspect.iscoroutinefunction(function),
            doc=inspect.cleandoc(function.__doc__),
            audit=declared.audit,
            decoder=params_decoder(hints["params"]),
        )

    def keep(self, names: Collection[str]) -> None:
        """Offer only these methods."""
        self._methods = {name: one for name, one in self._methods.items() if name in names}

    def find(self, name: str) -> Method | None:
        """Return the method, or `None` when there is no such method."""
        return self._methods.get(name)

    def __iter__(self) -> Iterator[Method]:
        return iter(self._methods.values())

    def advertised(self) -> list[str]:
        """The names for `hello-ok.features.methods`: exactly what is implemented."""
        return [m.name for m in self._methods.values() if m.advertised]
