"""The wire: frames, errors, scopes, events and session keys of the gateway protocol.

Pure types and functions. Imports nothing of ours and no third-party package but msgspec.

Source: OpenClaw gateway protocol 4 (2026.9).
"""
