"""Pairing under any schedule: devices come with every kind of proof, requests are answered by
callers with more or fewer scopes, tokens are rotated and revoked, setup codes are used, time
passes, and the gateway is killed at any commit.

What must hold: nobody holds, or is let in with, more than was approved; what was taken away never
works again; a setup code lets in one device; after a kill a change was made whole or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from portico.auth.bootstrap import PROFILES, IssuedBootstrap, Profile
from portico.auth.devices import Devices
from portico.auth.model import Principal
from portico.auth.peer import Peer
from portico.auth.pending import PendingLimits
from portico.auth.service import Admitted, Authenticator, AuthSettings
from portico.auth.tokens import hash_token
from portico.devices import rules
from portico.protocol.connect import ConnectParams
from portico.protocol.errors import GatewayError
from portico.protocol.scopes import Role, expand
from tests.fakes.control_plane import TOKEN, Device
from tests.support.clock import FakeClock
from tests.support.memory import Dead, Memory, OwnedStore

READ, WRITE, PAIRING, ADMIN = (f"operator.{name}" for name in ("read", "write", "pairing", "admin"))
HERE = Peer("127.0.0.1", direct_local=True)
ELSEWHERE = Peer("203.0.113.9", direct_local=False, is_attributed=True)
NONCE = "nonce"
DEVICES = st.integers(0, 2)
ROLES = st.sampled_from([Role.OPERATOR, Role.OPERATOR, Role.NODE])
SCOPES = st.lists(st.sampled_from([READ, WRITE, PAIRING, ADMIN]), unique=True, max_size=3)
PICKS = st.integers(0, 50)
Held = dict[tuple[str, str], frozenset[str]]
KEYS = [Device() for _ in range(3)]


class Killed(Exception):
    """The gateway was killed in the middle."""


@dataclass
class Code:
    """A setup code, and what is known of it."""

    issued: IssuedBootstrap
    profile: Profile
    used_by: str | None = None
    is_over: bool = False


def caller(*scopes: str) -> Principal:
    granted = frozenset(scopes)
    return Principal(Role.OPERATOR, scopes, expand(granted), "token", "tester")


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.memory = Memory()
        self.clock = FakeClock()
        self.held: Held = {}  # what was approved and not taken away
        self.codes: list[Code] = []
        self.tokens: dict[str, tuple[str, str]] = {}  # every token that was ever handed out
        self.taken: set[str] = set()  # those that worked no more at some time
        self.doomed: tuple[int, Literal["before", "after"]] | None = None
        self.start()

    def start(self) -> None:
        self.store = OwnedStore(self.memory)
        limits = PendingLimits(in_all=4, from_one_address=4)
        self.book = Devices(self.store, self.clock, lambda *_: None, secret=TOKEN, limits=limits)
        self.door = Authenticator(AuthSettings(token=TOKEN), self.book, self.clock, sleep=_at_once)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()
            self.memory.close()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def attempt(self, work: Any, after: Held) -> Any:
        """Do something that, done, leaves `after`; return its result or its refusal."""
        if self.doomed is not None:
            self.store.die_in(*self.doomed)
            self.doomed = None
        before = self.held
        try:
            result = self.run(work)
        except GatewayError as refusal:
            self.store.commits = None
            return refusal
        except Dead:
            self.start()
            actual = self.actual()
            assert actual in (before, after), "a change was made by halves"
            self.held = actual
            raise Killed from None
        self.store.commits = None
        self.held = after
        return result

    def actual(self) -> Held:
        rows = self.memory.select(
            "SELECT device_id, role, scopes FROM auth_device_tokens WHERE revoked_at IS NULL"
        )
        return {
            (row["device_id"], row["role"]): frozenset(msgspec.json.decode(row["scopes"]))
            for row in rows
        }

    def working(self) -> set[str]:
        rows = self.memory.select(
            "SELECT token_hash FROM auth_device_tokens WHERE revoked_at IS NULL"
        )
        hashes = {row["token_hash"] for row in rows}
        return {token for token in self.tokens if hash_token(token) in hashes}

    def with_more(self, device: str, *grants: tuple[str, frozenset[str]]) -> Held:
        more = {
            (device, role): self.held.get((device, role), frozenset()) | scopes
            for role, scopes in grants
        }
        return {**self.held, **more}

    # --- at the door ----------------------------------------------------------------------------

    def knock(
        self,
        device: Device,
        role: str,
        scopes: list[str],
        peer: Peer,
        auth: dict[str, str],
        after: Held,
    ) -> Any:
        asked = tuple(scopes) if role == Role.OPERATOR else ()
        node = {"id": "node-host", "version": "1", "platform": "linux", "deviceFamily": "Linux"}
        node["mode"] = "node"
        raw = device.params(
            NONCE,
            role=role,
            scopes=list(asked),
            auth=auth,
            **({"client": node} if role == Role.NODE else {}),
        )
        raw["device"] = device.proof(raw, NONCE, signed_at=self.clock.now_ms())
        params = msgspec.convert(raw, ConnectParams)
        admitted = self.attempt(self.door.authenticate(params, peer, NONCE), after)
        if isinstance(admitted, Admitted):
            self.let_in(device, role, asked, admitted)
        return admitted

    def let_in(self, device: Device, role: str, asked: tuple[str, ...], admitted: Admitted) -> None:
        granted = set(admitted.principal.granted)
        assert granted <= set(asked)
        assert granted <= expand(self.held[device.id, role]), "let in with more than was approved"
        issued = [admitted.device_token, *admitted.more_tokens]
        for token in filter(None, issued):
            assert set(token.scopes) == self.held[device.id, token.role]
            self.tokens[token.token] = (device.id, token.role)

    @rule(which=DEVICES, role=ROLES, scopes=SCOPES, local=st.booleans())
    def come_with_the_secret(self, which: int, role: str, scopes: list[str], local: bool) -> None:
        device = KEYS[which]
        asked = frozenset(scopes if role == Role.OPERATOR else ())
        held = self.held.get((device.id, role))
        is_enough = held is not None and asked <= expand(held)
        after = self.held if is_enough else self.with_more(device.id, (role, asked))
        if not local and not is_enough:
            after = self.held
        try:
            found = self.knock(
                device, role, scopes, HERE if local else ELSEWHERE, {"token": TOKEN}, after
            )
        except Killed:
            return
        assert isinstance(found, Admitted) is (local or is_enough)

    @rule(pick=PICKS, scopes=SCOPES, forged=st.booleans())
    def come_with_a_device_token(self, pick: int, scopes: list[str], forged: bool) -> None:
        if not self.tokens:
            return
        token = list(self.tokens)[pick % len(self.tokens)]
        owner, role = self.tokens[token]
        device = next(key for key in KEYS if (key.id == owner) is not forged)
        asked = frozenset(scopes if role == Role.OPERATOR else ())
        held = self.held.get((owner, role), frozenset())
        is_good = not forged and token in self.working()
        try:
            found = self.knock(device, role, scopes, ELSEWHERE, {"deviceToken": token}, self.held)
        except Killed:
            return
        assert isinstance(found, Admitted) is (is_good and asked <= expand(held))

    @rule(which=DEVICES, pick=PICKS, role=ROLES, scopes=SCOPES, delivered=st.booleans())
    def come_with_a_code(
        self, which: int, pick: int, role: str, scopes: list[str], delivered: bool
    ) -> None:
        if not self.codes:
            return
        device, code = KEYS[which], self.codes[pick % len(self.codes)]
        profile = code.profile
        grants = [
            (each, frozenset(profile.scopes if each == Role.OPERATOR else ()))
            for each in profile.roles
        ]
        is_open = self.clock.now_ms() < code.issued.expires_at_ms and not code.is_over
        is_good = is_open and code.used_by in {None, device.id} and role in profile.roles
        after = self.with_more(device.id, *grants) if is_good else self.held
        auth = {"bootstrapToken": code.issued.token}
        try:
            found = self.knock(device, role, scopes, ELSEWHERE, auth, after)
        except Killed:
            code.used_by = self.user_of(code)
            assert code.used_by in {None, device.id} or not is_good
            return
        assert isinstance(found, Admitted) is is_good
        if is_good:
            code.used_by, code.is_over = device.id, delivered
            self.run(self.door.settle(found, delivered=delivered))

    def user_of(self, code: Code) -> str | None:
        rows = self.memory.select(
            "SELECT device_id FROM auth_bootstrap_tokens WHERE setup_id = ?", code.issued.setup_id
        )
        return rows[0]["device_id"] if rows else None

    # --- decisions ------------------------------------------------------------------------------

    @rule(profile=st.sampled_from(sorted(PROFILES)))
    def make_a_code(self, profile: str) -> None:
        if len(self.codes) < 6:
            issued = self.run(self.book.bootstrap.issue(PROFILES[profile]))
            self.codes.append(Code(issued, PROFILES[profile]))

    @rule(which=DEVICES, scopes=SCOPES)
    def ask_for_more(self, which: int, scopes: list[str]) -> None:
        known = self.run(self.book.find(KEYS[which].id))
        if known is not None and scopes:
            wish = self.book.upgrade(known, Role.OPERATOR, tuple(scopes), remote_ip=None)
            try:
                self.attempt(self.book.request(wish), self.held)
            except Killed:
                return

    @rule(pick=PICKS, scopes=SCOPES, approve=st.booleans())
    def answer(self, pick: int, scopes: list[str], approve: bool) -> None:
        pending = self.run(self.book.list_pending())
        if not pending:
            return
        request, by = pending[pick % len(pending)], caller(PAIRING, *scopes)
        may = ADMIN in scopes or (
            request.role == Role.OPERATOR and set(request.scopes) <= by.scopes
        )
        after = self.held
        if approve and may:
            after = self.with_more(request.device_id, (request.role, frozenset(request.scopes)))
        check = rules.check_approval if approve else rules.check_rejection
        decide = self.book.approve if approve else self.book.reject
        work = decide(request.request_id, by=by, check=partial(check, by))
        try:
            found = self.attempt(work, after)
        except Killed:
            return
        assert isinstance(found, GatewayError) is (approve and not may)
        again = self.attempt(decide(request.request_id), self.held)
        if not isinstance(found, GatewayError):
            assert isinstance(again, GatewayError), "a request was answered twice"
        else:  # the refusal changed nothing: it still waits, and is answered now
            self.held = self.actual()
            assert self.held == self.with_more(
                request.device_id, (request.role, frozenset(request.scopes))
            )

    @rule(which=DEVICES, role=ROLES, scopes=st.none() | SCOPES, mine=SCOPES)
    def rotate(self, which: int, role: str, scopes: list[str] | None, mine: list[str]) -> None:
        device, by = KEYS[which].id, caller(PAIRING, *mine)
        held = self.held.get((device, role))
        wanted = held if scopes is None else frozenset(scopes)
        may = (
            held is not None
            and wanted is not None
            and wanted <= expand(held)
            and (ADMIN in mine or (role == Role.OPERATOR and wanted <= by.scopes))
        )
        after = {**self.held, (device, role): wanted or frozenset()} if may else self.held
        work = self.book.rotate(
            device,
            role,
            None if scopes is None else tuple(scopes),
            by=by,
            check=lambda known: rules.check_token(
                by,
                known,
                role,
                "token rotation",
                scopes=None if scopes is None else tuple(scopes),
            ),
        )
        old = {token for token, owner in self.tokens.items() if owner == (device, role)}
        try:
            found = self.attempt(work, after)
        except Killed:
            return
        assert (found is not None and not isinstance(found, GatewayError)) is may
        if may:
            assert not old & self.working(), "a token outlived its rotation"
            self.tokens[found.token] = (device, role)

    @rule(which=DEVICES, role=ROLES)
    def revoke(self, which: int, role: str) -> None:
        device = KEYS[which].id
        after = {key: scopes for key, scopes in self.held.items() if key != (device, role)}
        try:
            found = self.attempt(self.book.revoke(device, role), after)
        except Killed:
            self.close_codes_of(device, unless=self.held != after)
            return
        assert (found is None) is (len(after) == len(self.held) and found is None)
        self.close_codes_of(device, unless=found is None)
        assert not any(self.tokens[token] == (device, role) for token in self.working())

    @rule(which=DEVICES)
    def remove(self, which: int) -> None:
        device = KEYS[which].id
        after = {key: scopes for key, scopes in self.held.items() if key[0] != device}
        with contextlib.suppress(Killed):
            self.attempt(self.book.remove(device), after)
        if self.run(self.book.find(device)) is None:
            self.close_codes_of(device, unless=False)
            assert not any(self.tokens[token][0] == device for token in self.working())

    def close_codes_of(self, device: str, *, unless: bool) -> None:
        for code in self.codes:
            if code.used_by == device and not unless and self.user_of(code) is None:
                code.is_over = True

    # --- the world ------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([0, 1, 4, 6, 11]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes * 60_000 + 1)

    @rule()
    def restart(self) -> None:
        self.start()

    @rule(commits=st.integers(0, 1), cut=st.sampled_from(["before", "after"]))
    def doom(self, commits: int, cut: Literal["before", "after"]) -> None:
        self.doomed = commits, cut

    @invariant()
    def nobody_holds_more_than_was_approved(self) -> None:
        if hasattr(self, "memory"):
            assert self.actual() == self.held

    @invariant()
    def what_was_taken_away_stays_away(self) -> None:
        if not hasattr(self, "memory"):
            return
        working = self.working()
        assert not working & self.taken, "a token came back"
        self.taken |= set(self.tokens) - working


async def _at_once(_seconds: float) -> None:
    return None


TestPairing = Machine.TestCase
TestPairing.settings = settings(stateful_step_count=30)
