from __future__ import annotations

from typing import Any

import msgspec

from portico.protocol.scopes import Scope
from portico.sessions.patching import SessionsPatch, change_of, expected_of, scope_of_patch


def patch(**members: Any) -> SessionsPatch:
    return msgspec.json.decode(msgspec.json.encode({"key": "k", **members}), type=SessionsPatch)


def test_absent_leaves_alone_and_null_clears():
    change = change_of(patch(label=None, icon=None, model="a/b"), now=9)
    assert change.columns == {"label": None, "model": "a/b"}
    assert change.settings == {"icon": None}


def test_flags_are_stamped_with_their_time():
    change = change_of(patch(archived=True, pinned=False, unread=True), now=9)
    assert change.columns == {"archived": True, "pinned": False, "unread": True}
    assert change.settings == {"archivedAt": 9, "pinnedAt": None, "markedUnreadAt": 9}


def test_settings_keep_their_wire_names():
    change = change_of(
        patch(thinkingLevel="low", toolOverrides={"webSearch": False}, responseUsage="off"), now=9
    )
    assert change.settings == {
        "thinkingLevel": "low",
        "toolOverrides": {"webSearch": False},
        "responseUsage": None,
    }


def test_the_envelope_never_raises_the_scope():
    looks = patch(expectedSessionId="s", expectedPermissionMode=None, agentId="main", color="red")
    assert scope_of_patch(looks) is Scope.WRITE
    assert scope_of_patch(patch(verboseLevel="on")) is Scope.ADMIN


def test_expectations_are_taken_as_given():
    expected = expected_of(patch(expectedLifecycleRevision="r", expectedPermissionMode=None))
    assert expected.revision == "r"
    assert expected.session_id is msgspec.UNSET
    assert expected.settings == {"permissionMode": None}
