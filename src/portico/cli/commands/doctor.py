"""`portico doctor`: run every check, explain what it found, mend what is safe to mend."""

from __future__ import annotations

import os
from typing import Final

from portico.cli.command import THERE, Remote, command
from portico.cli.doctor import agent_checks, config_checks, host_checks, tool_checks
from portico.cli.doctor.gateway_checks import gateway_answers
from portico.cli.doctor.model import Check, Finding, Level, Patient
from portico.cli.exit import ExitCode
from portico.cli.output import print_json
from portico.cli.target import paths_of, resolve_target, running_url

CHECKS: Final[tuple[Check, ...]] = (
    host_checks.python_version,
    config_checks.config_valid,
    config_checks.config_keys,
    config_checks.config_safe,
    config_checks.certificate,
    config_checks.permissions,
    host_checks.state_writable,
    host_checks.disk_space,
    host_checks.lock_file,
    host_checks.port_free,
    tool_checks.running_programs,
    agent_checks.programs,
)
_MARKS: Final = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.ERROR: "✗"}


@command("doctor")
async def doctor(*, fix: bool = False, to: Remote = THERE) -> int:
    """Find what is wrong here, explain it, and mend it.

    Looks at the configuration, the state directory, the port and the gateway. Exit code 1 when
    problems remain.

    Args:
        fix: Mend what is safe to mend: file modes, a stale lock file, a missing or placeholder
            token, a broken configuration that has a last good copy.

    Examples:
        portico doctor
        portico doctor --fix
        portico doctor --json
    """
    findings = await examine(to)
    fixed: list[str] = []
    if fix:
        fixed = [finding.fix() for finding in findings if finding.is_problem and finding.fix]
        findings = await examine(to) if fixed else findings
    problems = [finding for finding in findings if finding.is_problem]
    if to.json:
        found = [finding.to_json() for finding in findings]
        print_json({"ok": not problems, "fixed": fixed, "findings": found})
    else:
        _print(findings, fixed, problems)
    return ExitCode.FAILED if problems else ExitCode.OK


async def examine(to: Remote) -> list[Finding]:
    """Run every check once."""
    from portico.config import load

    paths = paths_of(to)
    patient = Patient(paths, os.environ, load(paths, env=os.environ))
    findings = [finding for check in CHECKS for finding in check(patient)]
    target = resolve_target(to)
    is_expected = not target.is_own or running_url(paths) is not None
    findings.append(await gateway_answers(target, is_expected=is_expected, timeout_s=to.timeout_s))
    return findings


def _print(findings: list[Finding], fixed: list[str], problems: list[Finding]) -> None:
    for done in fixed:
        print(f"Fixed: {done}")
    for finding in findings:
        print(f"{_MARKS[finding.level]} {finding.check:<14} {finding.message}")
        if finding.is_problem and finding.explanation:
            print(f"  {'':<14} {finding.explanation}")
        if finding.level is not Level.OK and finding.next_step:
            print(f"  {'':<14} Next: {finding.next_step}")
    if not problems:
        print("\nNothing is wrong.")
        return
    count = len(problems)
    print(f"\n{count} {'problem' if count == 1 else 'problems'}.", end="")
    print(" portico doctor --fix mends some." if any(p.fix for p in problems) else "")
