"""A gateway as a systemd unit, of a user or of the machine.

`Type=notify`: the unit is up when the gateway says so. `systemctl reload` restarts it without a
gap: the new process becomes the unit's main process. `KillMode=mixed` lets the gateway stop its
programs by itself and ends what is left.

Source: systemd.service(5), systemd.exec(5), systemd.kill(5), systemctl(1).
"""

from __future__ import annotations

from pathlib import Path

from portico.cli.service.plan import Service, Written

STOP_S = 45
START_S = 90
WATCHDOG_S = 60
# What a gateway needs not have. Its agents write below the state directory and their workspaces in
# the home; a unit of a user cannot do without new namespaces where those are forbidden.
_HARDENING = (
    "NoNewPrivileges=yes",
    "UMask=0077",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
)
_SYSTEM_HARDENING = (
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
)


class Systemd:
    """systemd."""

    def files(self, service: Service) -> tuple[Written, ...]:
        """Return the unit and its environment file."""
        return (
            Written(service.env_file, _ENV_TEXT, 0o600, is_kept=True),
            Written(self.unit_file(service), unit(service)),
        )

    def unit_file(self, service: Service) -> Path:
        """Where the unit is."""
        if service.is_system:
            return Path("/etc/systemd/system") / f"{service.name}.service"
        return service.home / ".config" / "systemd" / "user" / f"{service.name}.service"

    def commands(self, action: str, service: Service) -> tuple[tuple[str, ...], ...]:
        """Return the systemctl calls of an action."""
        name = f"{service.name}.service"
        scope = () if service.is_system else ("--user",)
        calls: dict[str, tuple[tuple[str, ...], ...]] = {
            "install": (("daemon-reload",), ("enable", "--now", name)),
            "uninstall": (("disable", "--now", name),),
            "uninstalled": (("daemon-reload",),),
            "start": (("start", name),),
            "stop": (("stop", name),),
            "restart": (("reload-or-restart", name),),
            "status": (("show", name, "--property=" + ",".join(SHOWN)),),
        }
        if action == "logs":
            return (("journalctl", *scope, "--unit", name, "--no-pager", "--lines", "200"),)
        return tuple(("systemctl", *scope, *call) for call in calls[action])


SHOWN = ("LoadState", "ActiveState", "SubState", "MainPID", "StatusText", "UnitFileState")


def unit(service: Service) -> str:
    """Return the unit's text."""
    target = "multi-user.target" if service.is_system else "default.target"
    hardening = [*_HARDENING]
    owner = []
    if service.is_system:
        owner = [f"User={service.user}"] if service.user else []
        hardening += [*_SYSTEM_HARDENING, f"ReadWritePaths={_quoted(str(service.state_dir))}"]
        if service.config.parent != service.state_dir:
            hardening.append(f"ReadWritePaths={_quoted(str(service.config.parent))}")
    lines = [
        "[Unit]",
        "Description=Portico, the gateway for AI assistants",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=300",
        "StartLimitBurst=10",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(_quoted(word) for word in service.command)}",
        "ExecReload=/bin/kill -USR2 $MAINPID",
        *owner,
        f"WorkingDirectory={_escaped(str(service.state_dir))}",
        f"EnvironmentFile=-{_escaped(str(service.env_file))}",
        "Environment=PYTHONUNBUFFERED=1",
        "Restart=on-failure",
        "RestartSec=2",
        "KillMode=mixed",
        f"TimeoutStartSec={START_S}",
        f"TimeoutStopSec={STOP_S}",
        f"WatchdogSec={WATCHDOG_S}",
        *hardening,
        "",
        "[Install]",
        f"WantedBy={target}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(word: str) -> str:
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """Write a word so that systemd takes it as it is."""
    word = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t'\"\\;") else word


_ENV_TEXT = """\
# Variables for the gateway, one NAME=value a line; the configuration refers to them as ${NAME}.
# This file is yours: it is made once and never changed.
"""
