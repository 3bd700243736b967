"""Changes of the configuration under any schedule: clients replace and patch it with a right, an
old or no base hash; other programs write the file, break it or remove it, also in the middle of an
edit; somebody made from the settings cannot have them; the gateway is not well with a change and
goes back; and it is killed and starts again from the file.

What must hold: what runs is what somebody wrote and everybody could have; a refused edit leaves no
trace; nobody's edit is overwritten unseen; after a roll-back file and process agree; the last good
text is one that ran; `appliedConfigHash` tells the truth.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from portico.clock import SystemClock
from portico.config import ensure_first_run, load_or_last_good, remember_good, resolve_paths
from portico.config.issues import ConfigError, Issue, Severity
from portico.config.live import Commit, LiveConfig
from portico.config.service import LoadedConfig, load_text, text_hash
from portico.protocol.errors import GatewayError
from portico.rpc.call import Call
from portico.settings.rpc import ConfigApply, ConfigMethods, ConfigPatch, ConfigSet
from portico.settings.service import Settings
from portico.tasks import Tasks
from tests.support.house import ALL_SCOPES, principal

TOKEN = "0123456789abcdef0123456789abcdef"
OLD_HASH = "0" * 64
CALL = Call(principal(*ALL_SCOPES))
BROKEN = ("{ broken", '{ gateway: { port: "many" } }', '{ gateway: { auth: { mode: "none" }')
Meaning = tuple[str | None, int]
"""A name that is followed while the gateway runs, a port that waits for a restart."""
Moment = Literal["stage", "trial"]


def tree_of(name: str | None, port: int) -> dict[str, Any]:
    return {
        "gateway": {
            "port": port,
            "auth": {"mode": "token", "token": TOKEN},
            "reload": {"restartCooldownMs": 0},
        },
        "agents": {"defaults": {"runtime": "echo"}, "list": [{"id": "main", "name": name}]},
    }


def text_of(meaning: Meaning, comment: str = "") -> str:
    text = json.dumps(tree_of(*meaning), indent=2)
    return f"// {comment}\n{text}\n" if comment else text


def meaning_of(loaded: LoadedConfig) -> Meaning:
    config = loaded.require()
    names = [agent.name for agent in config.agents.list_]
    return (names[0] if names else None, config.gateway.port)


def needs_a_restart(loaded: LoadedConfig) -> tuple[int, str | None]:
    gateway = loaded.require().gateway
    return gateway.port, gateway.auth.token


class Silent:
    """A record nobody reads."""

    async def record(self, action: str, **details: Any) -> None:
        return None


MEANINGS = st.tuples(st.sampled_from(["Ann", "Bob", "Cid"]), st.sampled_from([4001, 4002]))
COMMENTS = st.sampled_from(["", "mine", "theirs"])
TEXTS = st.builds(text_of, MEANINGS, COMMENTS)
FOREIGN = st.one_of(TEXTS, TEXTS, st.sampled_from(BROKEN), st.none())
BASES = st.sampled_from(["right", "right", "right", "old", "none"])
REFUSALS = st.sampled_from([None, None, None, "stage", "trial"])
RIVALS = st.one_of(st.none(), st.none(), st.tuples(st.sampled_from(["stage", "trial"]), FOREIGN))


class Machine(RuleBasedStateMachine):
    @initialize(meaning=MEANINGS)
    def prepare(self, meaning: Meaning) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.paths = resolve_paths(env={"HOME": str(self.folder)}, state_dir=self.folder)
        self.file = self.paths.config_file
        self.refusal: Moment | None = None
        self.rival: tuple[Moment, str | None] | None = None
        self.rival_came = False
        self.ran: set[str | None] = set()
        self.turned_down: set[str | None] = set()
        self.wishes: set[Meaning] = {meaning}
        self.file.write_text(text_of(meaning))
        self.boot()

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.tasks.stop())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.folder)

    def boot(self) -> None:
        """As a process starts: whatever is in the file, with the last good text at hand."""
        if ensure_first_run(self.paths, new_token=lambda: TOKEN).created:
            self.wishes.add((None, 18_789))
        loaded = load_or_last_good(self.paths, env={})
        loaded.require_startable()
        if not loaded.from_last_good:
            remember_good(loaded)
        self.taken, self.booted = meaning_of(loaded)[0], needs_a_restart(loaded)
        self.failures: list[BaseException] = []
        self.tasks = Tasks(lambda _name, error: self.failures.append(error))
        self.live = LiveConfig(loaded, env={})
        self.live.follow("agents", stage=self.stage)
        self.live.try_with(self)
        audit: Any = Silent()
        clock = SystemClock()
        self.service = Settings(
            self.live,
            audit=audit,
            clock=clock,
            tasks=self.tasks,
            request_restart=lambda _reason: None,
            started_ms=clock.now_ms(),
        )
        self.methods = ConfigMethods(self.service, audit=audit, clock=clock)

    # --- what the configuration meets ------------------------------------------------------------

    def stage(self, new: LoadedConfig) -> Commit:
        name, _ = meaning_of(new)
        self.come("stage")
        if self.refusal == "stage":
            self.refusal = None
            self.turned_down.add(new.raw)
            raise ConfigError([Issue(Severity.ERROR, "agents", "cannot be had", "", "test")])

        def commit() -> None:
            self.taken = name

        return commit

    def begin(self, _changed: object) -> None:
        """A trial begins."""

    async def verdict(self, _begun: object) -> str | None:
        self.come("trial")
        if self.refusal == "trial":
            self.refusal = None
            self.turned_down.add(self.live.loaded.raw)
            return "not well"
        return None

    def come(self, moment: Moment) -> None:
        """Let the other program write, if this is its moment."""
        if self.rival is not None and self.rival[0] == moment:
            text = self.rival[1]
            self.rival = None
            self.rival_came = text != self.text()
            self.put(text)

    def put(self, text: str | None) -> None:
        """Another program writes the file, as programs do: not atomically, without our lock."""
        if text is None:
            self.file.unlink(missing_ok=True)
            return
        self.file.write_text(text)
        loaded = load_text(self.paths, text, env={})
        if loaded.valid:
            self.wishes.add(meaning_of(loaded))

    # --- looking ---------------------------------------------------------------------------------

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    async def settled(self, work: Any) -> Any:
        """Do it, and what it starts."""
        try:
            return await work
        finally:
            while running := [one for one in asyncio.all_tasks() if one.get_name() in FOLLOWING]:
                await asyncio.wait(running)

    def text(self) -> str | None:
        return self.file.read_text() if self.file.exists() else None

    def state(self) -> tuple[Any, ...]:
        return self.live.loaded, self.live.applied_hash, self.taken

    def base(self, kind: str) -> str | None:
        text = self.text()
        if kind == "right":
            return None if text is None else text_hash(text)
        return OLD_HASH if kind == "old" else None

    def attempt(self, work: Any, refusal: Moment | None, rival: Any, *, base: str | None) -> bool:
        """Let an edit meet a refusal and a rival; return whether it was made."""
        self.refusal, self.rival, self.rival_came = refusal, rival, False
        text, state = self.text(), self.state()
        theirs = text if rival is None else rival[1]
        try:
            self.run(self.settled(work))
        except GatewayError:
            left = theirs if self.rival_came else text
            assert self.text() == left, "a refused edit has changed the file"
            assert self.state() == state, "a refused edit has changed what runs"
            return False
        finally:
            self.refusal = self.rival = None
        assert base == (None if text is None else text_hash(text)), "it was based on another text"
        return not self.rival_came

    # --- what happens ----------------------------------------------------------------------------

    @rule(meaning=MEANINGS, comment=COMMENTS, kind=BASES, refusal=REFUSALS, rival=RIVALS)
    def apply(
        self, meaning: Meaning, comment: str, kind: str, refusal: Moment | None, rival: Any
    ) -> None:
        base = self.base(kind)
        params = ConfigApply(raw=text_of(meaning, comment), base_hash=base)
        self.wishes.add(meaning)
        if self.attempt(self.methods.apply(CALL, params), refusal, rival, base=base):
            assert self.file_says() == meaning_of(self.live.loaded) == meaning

    @rule(text=st.sampled_from(BROKEN), kind=BASES, way=st.sampled_from(["apply", "set"]))
    def apply_nonsense(self, text: str, kind: str, way: str) -> None:
        base = self.base(kind)
        work: Any = (
            self.methods.apply(CALL, ConfigApply(raw=text, base_hash=base))
            if way == "apply"
            else self.methods.set(CALL, ConfigSet(raw=text, base_hash=base))
        )
        assert not self.attempt(work, None, None, base=base)

    @rule(name=st.sampled_from(["Ann", "Bob", "Cid"]), kind=BASES, refusal=REFUSALS, rival=RIVALS)
    def patch(self, name: str, kind: str, refusal: Moment | None, rival: Any) -> None:
        base, port = self.base(kind), self.file_says()
        raw = json.dumps({"agents": {"list": [{"id": "main", "name": name}]}})
        params = ConfigPatch(raw=raw, base_hash=base)
        wanted = (name, 18_789 if port is None else port[1])
        if self.text() is None:
            wanted = (name, 18_789)
        self.wishes.add(wanted)
        if self.attempt(self.methods.patch(CALL, params), refusal, rival, base=base):
            assert self.file_says() == meaning_of(self.live.loaded) == wanted

    @rule(meaning=MEANINGS, comment=COMMENTS, kind=BASES)
    def write(self, meaning: Meaning, comment: str, kind: str) -> None:
        base = self.base(kind)
        params = ConfigSet(raw=text_of(meaning, comment), base_hash=base)
        self.wishes.add(meaning)
        if self.attempt(self.methods.set(CALL, params), None, None, base=base):
            assert self.file_says() == meaning
            self.has_followed()

    @rule(text=FOREIGN)
    def another_program_writes(self, text: str | None) -> None:
        self.put(text)

    @rule(refusal=REFUSALS, rival=RIVALS)
    def look(self, refusal: Moment | None, rival: Any) -> None:
        self.refusal, self.rival, self.rival_came = refusal, rival, False
        text, before = self.text(), self.state()
        self.run(self.settled(self.service.follow_file()))
        was_refused = refusal is not None and self.refusal is None
        self.refusal = self.rival = None
        if was_refused:
            assert self.state() == before
        if self.rival_came:
            return
        if was_refused and refusal == "trial":
            assert self.text() == self.live.loaded.raw, "file and process do not agree"
        else:
            assert self.text() == text, "looking has changed the file"
        self.has_followed()

    def has_followed(self) -> None:
        """What is in the file runs, unless nobody could run with it."""
        text, says = self.text(), self.file_says()
        if says is not None and text not in self.turned_down:
            assert meaning_of(self.live.loaded) == says

    @rule()
    def killed_and_started_again(self) -> None:
        self.run(self.tasks.stop())
        self.boot()

    # --- what holds ------------------------------------------------------------------------------

    def file_says(self) -> Meaning | None:
        text = self.text()
        loaded = None if text is None else load_text(self.paths, text, env={})
        return meaning_of(loaded) if loaded is not None and loaded.valid else None

    @invariant()
    def what_runs_was_written(self) -> None:
        if not hasattr(self, "live"):
            return
        loaded = self.live.loaded
        loaded.require_startable()
        assert meaning_of(loaded) in self.wishes
        assert self.taken == meaning_of(loaded)[0], "a follower runs with something else"
        assert self.failures == []

    @invariant()
    def the_applied_hash_is_true(self) -> None:
        if not hasattr(self, "live"):
            return
        loaded = self.live.loaded
        runs_all = self.booted == needs_a_restart(loaded)
        assert (self.live.applied_hash == loaded.revision_hash) == runs_all

    @invariant()
    def the_last_good_text_ran(self) -> None:
        if hasattr(self, "live"):
            self.ran.add(self.live.loaded.raw)
            assert self.paths.last_good.read_text() in self.ran


FOLLOWING = {"config.follow", "config.audit"}

TestConfigChanges = Machine.TestCase
# Half as many as others: each step writes real files.
TestConfigChanges.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=20
)
