"""Slash commands: what the gateway itself answers, in place of an agent.

Theory of operation: a message that is a command is accepted like any other (deduplicated, on disk
before it is acknowledged). In place of a turn, the same transaction writes an order (`tables.py`),
which is carried out at once, whatever runs in the session. The transaction that ends the order
writes the answer: into the transcript, into the outbox, or on into the lane.

Adding a command: a method with `@command(…)` in `about.py`, `conversation.py`, `thinking.py` or
`operating.py`. `commands.list`, `/help`, Telegram's menu, the page's completion and the table in
docs/commands.md follow from it.
"""
