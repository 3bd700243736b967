"""Nodes: devices whose commands the gateway may use, their approval, their invokes and events."""
