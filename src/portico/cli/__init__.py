"""The command line: `portico …`.

Guarantees: `portico --help` imports no part of the gateway; a command imports what it needs.
"""
