"""Text on its way out: split where a channel's limit demands it, or made plain.

How Markdown becomes a channel's own markup is the channel's business.
"""

from portico.channels.text.plain import to_plain
from portico.channels.text.split import split_markdown, utf16_units

__all__ = ["split_markdown", "to_plain", "utf16_units"]
