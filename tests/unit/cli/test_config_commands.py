from __future__ import annotations

import json


def test_set_makes_a_file_with_a_token(portico, home) -> None:
    shown = portico("config", "set", "gateway.port", "18790")
    assert shown.code == 0
    assert "follows it" in shown.out
    assert portico("config", "get", "gateway.port").out == "18790\n"
    assert (home / ".portico" / "portico.json").stat().st_mode & 0o777 == 0o600
    assert len(portico("config", "get", "gateway.auth.token", "--reveal").out) > 20


def test_secrets_are_masked_unless_asked_for(portico) -> None:
    portico("config", "set", "gateway.auth.token", "a-secret-of-some-length")
    assert "a-secret" not in portico("config", "get").out
    assert "a-secret" not in portico("config", "get", "gateway.auth.token").out
    assert "a-secret" in portico("config", "get", "gateway.auth.token", "--reveal").out


def test_default_is_shown_for_what_is_not_set(portico) -> None:
    assert portico("config", "get", "gateway.limits.tickIntervalMs").out == "30000\n"


def test_unknown_path_is_refused(portico) -> None:
    shown = portico("config", "get", "no.such", "--json")
    assert shown.code == 5
    assert shown.error["code"] == "config.not_found"


def test_unset_says_whether_it_changed_anything(portico) -> None:
    portico("config", "set", "gateway.port", "1234")
    assert portico("config", "unset", "gateway.port", "--json").json["changed"] is True
    assert portico("config", "unset", "gateway.port", "--json").json["changed"] is False


def test_change_that_breaks_the_config_is_refused(portico) -> None:
    portico("config", "set", "gateway.port", "1234")
    shown = portico("config", "set", "gateway.port", "many", "--json")
    assert shown.code == 6
    assert shown.error["code"] == "config.invalid"
    assert shown.error["details"]["issues"][0]["path"] == "gateway.port"
    assert portico("config", "get", "gateway.port").out == "1234\n"


def test_validate_lists_every_issue_with_its_place(portico, home) -> None:
    (home / ".portico").mkdir()
    file = home / ".portico" / "portico.json"
    file.write_text('{\n  gateway: { port: "x", bind: "moon" },\n  gatway: {},\n}\n')
    shown = portico("config", "validate", "--json")
    assert shown.code == 6
    assert shown.json["valid"] is False
    paths = {issue["path"] for issue in shown.json["issues"]}
    assert {"gateway.port", "gateway.bind"} <= paths
    assert all(i["line"] == 2 for i in shown.json["issues"] if i["path"] == "gateway.port")


def test_path_names_every_place(portico, home) -> None:
    places = portico("config", "path", "--json").json
    assert places["config"] == str(home / ".portico" / "portico.json")
    shown = portico("config", "path", "--state-dir", str(home / "elsewhere"))
    assert shown.out.strip() == str(home / "elsewhere" / "portico.json")


def test_schema_is_json(portico) -> None:
    assert json.loads(portico("config", "schema").out)["type"] == "object"


def test_import_says_what_it_took_and_left(portico, home) -> None:
    (home / ".openclaw").mkdir()
    source = home / ".openclaw" / "openclaw.json"
    source.write_text('{ gateway: { port: 19001 }, wizard: { lastRunAt: "x" } }')
    tried = portico("import", "openclaw", "--dry-run", "--json")
    assert tried.code == 0
    assert "gateway.port" in tried.json["taken"]
    assert not (home / ".portico" / "portico.json").exists()
    assert portico("import", "openclaw").code == 0
    assert portico("config", "get", "gateway.port").out == "19001\n"
    # It had no secret: the gateway must not lose its own.
    token = portico("config", "get", "gateway.auth.token", "--reveal").out
    assert len(token) > 20
    again = portico("import", "openclaw", "--json")
    assert again.code == 5
    assert again.error["code"] == "import.exists"
    assert portico("import", "openclaw", "--replace").code == 0
    assert portico("config", "get", "gateway.auth.token", "--reveal").out == token


def test_import_of_nothing_names_the_next_step(portico) -> None:
    shown = portico("import", "openclaw", "--json")
    assert shown.code == 5
    assert shown.error["code"] == "import.not_found"


def test_setting_what_is_not_used_says_so(portico) -> None:
    for path, said in (
        ("gateway.portals.ingress", "note: gateway.portals: accepted, but not used"),
        ("gateway.prot", "did you mean gateway.port?"),
    ):
        shown = portico("config", "set", path, "off")
        assert said in shown.err
        assert "follows it" not in shown.out
    shown = portico("config", "set", "session.dmScope", "per-peer")
    assert shown.err == ""
    assert "follows it" in shown.out


def test_patch_and_apply_without_a_gateway_change_the_file(portico, home) -> None:
    file = home / ".portico" / "portico.json"
    dry = portico("config", "patch", "{gateway: {port: 1234}}", "--dry-run", "--json").json
    assert dry["changes"] == [{"path": "gateway.port", "effect": "restart"}]
    assert not file.exists()
    assert portico("config", "patch", "{gateway: {port: 1234}}", "--json").json["changed"] is True
    assert portico("config", "get", "gateway.port").out == "1234\n"
    assert portico("config", "patch", "{gateway: {port: null}}").code == 0
    assert "1234" not in file.read_text()
    broken = portico("config", "patch", "{gateway: {port: -1}}", "--dry-run", "--json")
    assert (broken.code, broken.error["code"]) == (6, "config.invalid")
    stale = portico("config", "patch", "{}", "--base-hash", "0" * 64, "--json")
    assert stale.code == 6
    assert portico("config", "patch", "--json").error["code"] == "usage.input"
    whole = home / "whole.json"
    whole.write_text("// mine\n{ gateway: { port: 5 } }\n")
    assert portico("config", "apply", "--file", str(whole)).code == 0
    assert file.read_text() == whole.read_text()
    assert portico("config", "file").out.strip() == str(file)


def test_a_value_can_be_asked_to_be_json(portico) -> None:
    refused = portico("config", "set", "session.mainKey", "no json", "--strict-json", "--json")
    assert (refused.code, refused.error["code"]) == (2, "usage.value")
    dry = portico("config", "set", "session.mainKey", '"x"', "--strict-json", "--dry-run")
    assert (dry.code, "would be changed (no gateway runs)" in dry.out) == (0, True)
