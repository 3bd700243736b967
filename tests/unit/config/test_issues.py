from __future__ import annotations

from portico.config.issues import ConfigError, Issue, Severity


def test_an_issue_reads_as_place_path_message_and_next_step() -> None:
    issue = Issue(Severity.ERROR, "gateway.port", "is odd", "make it even", "odd", "f.json", 3, 7)
    assert issue.render() == "f.json:3:7  gateway.port: is odd. Next: make it even"
    assert issue.to_wire() == {"path": "gateway.port", "message": "is odd"}
    assert issue.to_json()["severity"] == "error"
    assert issue.to_json()["line"] == 3


def test_what_is_not_known_is_left_out() -> None:
    issue = Issue(Severity.NOTE, "", "hm")
    assert issue.render() == "hm"
    assert issue.to_json() == {"severity": "note", "message": "hm"}


def test_a_config_error_lists_every_issue() -> None:
    error = ConfigError([Issue(Severity.ERROR, "a", "x"), Issue(Severity.ERROR, "b", "y")])
    assert str(error) == "a: x\nb: y"
    assert len(error.issues) == 2
