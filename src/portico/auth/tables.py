"""Devices, their tokens, the requests of those not yet approved, and the tokens of setup codes."""

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
    Column("approved_via", Text, nullable=False),  # auth.rows.ApprovedVia
    time_ms("approved_at", nullable=False),
    time_ms("last_seen_at"),
    Column("label", Text),  # the owner's name for it
    Column("remote_ip", Text),
    time_ms("created_at"),
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
    Column("salt", Text, nullable=False, server_default=""),  # what the token is derived from
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
    Index("auth_pairing_requests_of", "device_id", "role", unique=True),
)

bootstrap_tokens = Table(
    "auth_bootstrap_tokens",
    metadata,
    Column("token_hash", Text, primary_key=True),  # sha-256, hex: the token itself is not stored
    Column("setup_id", Text, nullable=False),
    Column("access", Text, nullable=False),  # full | limited | node
    Column("roles", Text, nullable=False),  # JSON array
    Column("scopes", Text, nullable=False),  # JSON array: of the role operator
    time_ms("created_at", nullable=False),
    time_ms("expires_at", nullable=False),
    Column("device_id", Text),  # who used it
    Column("device_name", Text),
    time_ms("used_at"),
    time_ms("confirmed_at"),  # when its device was handed its tokens
    Index("auth_bootstrap_tokens_setup", "setup_id", unique=True),
)
