"""A headless node: this machine, as something a gateway can use.

What connects is `host.NodeHost`; each command is a handler in `commands`. The process that runs it
is `portico node run`.
"""
