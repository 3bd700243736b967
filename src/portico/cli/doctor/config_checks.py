"""Checks of the configuration: is it valid, is it safe, who else can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from portico.cli.doctor.model import Finding, Fix, Level, Patient, fine
from portico.clock import SystemClock

if TYPE_CHECKING:
    from portico.config import Issue

_EXPLANATIONS: Final = {
    "json5.syntax": "The file is not JSON5, so nothing in it counts.",
    "secret.placeholder": "This secret is printed in guides; anybody who knows them gets in.",
    "secret.short": "A short secret can be guessed over the network.",
    "auth.missing": "Without a token in the file each run makes up its own, and clients that "
    "remember one stop working.",
    "auth.ambiguous": "Clients would not know which of the two secrets to send.",
    "bind.unauthenticated": "Everybody who reaches the port could use the agent and its tools.",
    "proxy.loopback": "Every request would be refused: a program here is not taken for the proxy.",
    "proxy.everybody": "Whoever sends the user's header would be that user.",
    "tailscale.funnel": "A token in links and logs is not enough before the whole internet.",
    "file.permissions": "Other accounts on this machine could read the token or change settings.",
    "key.unknown": "A key the gateway does not know changes nothing; most are typing mistakes.",
}
_SOON_DAYS: Final = 14
_NEW_TOKEN_CODES: Final = frozenset({"secret.placeholder", "auth.missing", "bind.unauthenticated"})


def config_valid(patient: Patient) -> Iterator[Finding]:
    """Does the file parse, and does it fit the schema?"""
    loaded = patient.loaded
    if not loaded.exists:
        yield Finding(
            check="config.valid",
            level=Level.NOTE,
            message=f"{patient.paths.config_file} does not exist yet",
            next_step="portico run writes it",
        )
        return
    fix = _restore_last_good(patient)
    for issue in loaded.issues:
        yield _finding("config.valid", issue, fix=fix)
        fix = None  # once is enough
    if not loaded.issues:
        yield fine("config.valid", f"{patient.paths.config_file} is valid")


def config_keys(patient: Patient) -> Iterator[Finding]:
    """Are there keys that do nothing?"""
    warnings = patient.loaded.warnings
    for issue in warnings:
        if issue.severity != "note":
            yield _finding("config.keys", issue)
    if idle := [issue.path for issue in warnings if issue.severity == "note"]:
        yield Finding(
            check="config.keys",
            level=Level.NOTE,
            message=f"accepted, but not used by this version: {', '.join(idle)}",
            explanation="They stay in the file and change nothing.",
        )
    elif not any(issue.severity == "warning" for issue in warnings) and patient.loaded.exists:
        yield fine("config.keys", "every key is known")


def config_safe(patient: Patient) -> Iterator[Finding]:
    """Would the gateway start with it, and would it be safe?"""
    if patient.loaded.config is None:
        return
    issues = patient.loaded.startup_issues if patient.loaded.exists else ()
    for issue in issues:
        fix = _new_token(patient) if _wants_new_token(issue) else None
        yield _finding("config.safe", issue, fix=fix)
    if not issues:
        yield fine("config.safe", "bind and credentials fit together")


def certificate(patient: Patient) -> Iterator[Finding]:
    """Does the certificate of the port end soon?"""
    from portico.net.certificate import certificate_files
    from portico.net.self_signed import ends_at

    config = patient.loaded.config
    files = None if config is None else certificate_files(config, patient.paths)
    if files is None or files.is_generated:  # the gateway's own is made again in time
        return
    try:
        ends = ends_at(files.cert.read_bytes())
    except (OSError, ValueError):
        return  # said by config.safe
    days = (ends.timestamp() - SystemClock().now_ms() / 1000) / 86_400
    if days > _SOON_DAYS:
        yield fine("tls", f"the certificate is good until {ends:%Y-%m-%d}")
        return
    yield Finding(
        check="tls",
        level=Level.ERROR if days <= 0 else Level.WARNING,
        message=f"the certificate {'ended' if days <= 0 else 'ends'} on {ends:%Y-%m-%d}",
        explanation="Clients that check it will refuse to connect.",
        next_step=f"Renew {files.cert}; the gateway shows it as soon as it is there",
    )


def permissions(patient: Patient) -> Iterator[Finding]:
    """Can other accounts reach the config, the state or the database?"""
    from portico.config.checks import file_issues

    issues = [*file_issues(patient.paths)]
    for issue in issues:
        path = Path(issue.file or "")
        yield _finding("files.private", issue, fix=_chmod(path))
    found = bool(issues)
    for suffix in ("", "-wal", "-shm"):
        database = Path(f"{patient.paths.database}{suffix}")
        if database.exists() and database.stat().st_mode & 0o077:
            found = True
            yield Finding(
                check="files.private",
                level=Level.WARNING,
                message=f"others on this machine may reach {database}",
                explanation="It holds every conversation.",
                next_step=f"chmod 600 {database}",
                fix=_chmod(database),
            )
    if not found:
        yield fine("files.private", "only you can reach config, state and database")


def _finding(check: str, issue: Issue, *, fix: Fix | None = None) -> Finding:
    place = "" if issue.line is None else f"{issue.file}:{issue.line}: "
    path = f"{issue.path}: " if issue.path else f"{issue.file}: " if not place else ""
    return Finding(
        check=check,
        level=Level(issue.severity.value),
        message=f"{place}{path}{issue.message}",
        explanation=_EXPLANATIONS.get(issue.code, ""),
        next_step=issue.next_step,
        fix=fix,
    )


def _wants_new_token(issue: Issue) -> bool:
    return issue.code in _NEW_TOKEN_CODES and issue.path == "gateway.auth.token"


def _chmod(path: Path) -> Fix:
    def apply() -> str:
        mode = 0o700 if path.is_dir() else 0o600
        path.chmod(mode)
        return f"set the mode of {path} to {mode:04o}"

    return apply


def _new_token(patient: Patient) -> Fix:
    def apply() -> str:
        from portico.config import set_value
        from portico.ids import new_secret

        set_value(patient.paths, "gateway.auth.token", new_secret(), env=patient.env)
        return (
            f"made a new token in {patient.paths.config_file} "
            "(show it: portico config get gateway.auth.token --reveal)"
        )

    return apply


def _restore_last_good(patient: Patient) -> Fix | None:
    from portico.config.service import load_text

    paths = patient.paths
    if not paths.last_good.is_file():
        return None
    text = paths.last_good.read_text(encoding="utf-8")
    if load_text(paths, text, env=patient.env).issues:
        return None

    def apply() -> str:
        from portico.config.atomic import write_atomic

        broken = paths.config_file.with_name(paths.config_file.name + ".broken")
        write_atomic(broken, paths.config_file.read_text(encoding="utf-8", errors="replace"))
        write_atomic(paths.config_file, text)
        return f"restored the last good configuration; the broken one is {broken}"

    return apply
