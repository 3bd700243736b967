"""Devices, their tokens, and the requests of those that are not yet approved."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from portico.store.schema import metadata, time_ms

devices = Table(
    "auth_devices",
    metadata,
    Column("device_id", Text, primary_key=True),  # sha-256 of the public key, lowercase hex
    Column("public_key", Text, nullable=False),  # raw 32 bytes, base64url
    Column("display_name", Text),
    Column("platform", Text),
    Column("device_family", Text),
    Column("client_id", Text),
    Column("client_mode", Text),
    Column("approved_via", Text, nullable=False),  # owner | silent
    time_ms("approved_at", nullable=False),
    time_ms("last_seen_at"),
)

device_tokens = Table(
    "auth_device_tokens",
    metadata,
    Column("device_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("token_hash", Text, nullable=False),  # sha-256, hex: the token itself is not stored
    Column("scopes", Text, nullable=False),  # JSON array
    time_ms("created_at", nullable=False),
    time_ms("rotated_at"),
    time_ms("revoked_at"),
    time_ms("last_used_at"),
)

pairing_requests = Table(
    "auth_pairing_requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("device_id", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # JSON array
    Column("reason", Text, nullable=False),  # not-paired | role-upgrade | scope-upgrade | …
    Column("client", Text, nullable=False),  # JSON: what the client said of itself
    Column("remote_ip", Text),
    time_ms("created_at", nullable=False),
    time_ms("expires_at", nullable=False),
    Index("auth_pairing_requests_device", "device_id", "role"),
)
