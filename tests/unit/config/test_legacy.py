from __future__ import annotations

from portico.config.legacy import modernise


def test_older_spellings_mean_what_they_mean_today() -> None:
    old = {
        "agent": {"workspace": "~/w", "model": "a/b"},
        "gateway": {"http": {"chatCompletions": True, "openResponses": {"enabled": True}}},
    }
    tree, found = modernise(old)
    assert tree == {
        "agents": {"defaults": {"workspace": "~/w", "model": "a/b"}},
        "gateway": {
            "http": {
                "endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}
            }
        },
    }
    assert {issue.code for _, issue in found} == {"key.legacy"}
    assert "agent" in old


def test_the_new_spelling_wins() -> None:
    tree, _ = modernise({"gateway": {"token": "old", "auth": {"token": "new"}}})
    assert tree == {"gateway": {"auth": {"token": "new"}}}


def test_an_address_as_bind_is_understood() -> None:
    for address, bind in [("127.0.0.1", "loopback"), ("0.0.0.0", "lan"), ("10.0.0.7", "custom")]:
        tree, found = modernise({"gateway": {"bind": address}})
        assert tree["gateway"]["bind"] == bind
        assert len(found) == 1
    assert tree["gateway"]["customBindHost"] == "10.0.0.7"
    assert modernise({"gateway": {"bind": "lan"}}) == ({"gateway": {"bind": "lan"}}, [])


def test_a_lone_identity_goes_to_the_first_agent_if_there_is_one() -> None:
    tree, _ = modernise({"identity": {"name": "N"}, "agents": {"list": [{"id": "a"}]}})
    assert tree["agents"]["list"] == [{"id": "a", "identity": {"name": "N"}}]
    assert modernise({"identity": {"name": "N"}}) == ({"identity": {"name": "N"}}, [])


def test_oddly_shaped_sections_are_left_for_validation() -> None:
    assert modernise({"gateway": 5, "agent": "x"})[0] == {"gateway": 5, "agent": "x"}
