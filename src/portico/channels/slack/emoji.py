"""The names Slack knows emoji by, for those that people and agents react with most.

Source: https://docs.slack.dev/reference/methods/reactions.add (names, without colons).
"""

from __future__ import annotations

import re

_VARIANT = "\ufe0f"
_NAME = re.compile(r"[\w'+-]+(::skin-tone-[2-6])?", re.ASCII)
_NAMES = {
    "👍": "thumbsup",
    "👎": "thumbsdown",
    "❤": "heart",
    "🔥": "fire",
    "🎉": "tada",
    "👏": "clap",
    "🙏": "pray",
    "👀": "eyes",
    "🤔": "thinking_face",
    "😀": "grinning",
    "😄": "smile",
    "😁": "grin",
    "😂": "joy",
    "🤣": "rolling_on_the_floor_laughing",
    "🙂": "slightly_smiling_face",
    "😊": "blush",
    "😍": "heart_eyes",
    "😢": "cry",
    "😭": "sob",
    "😮": "open_mouth",
    "😡": "rage",
    "🤯": "exploding_head",
    "🤝": "handshake",
    "👌": "ok_hand",
    "👋": "wave",
    "💪": "muscle",
    "🚀": "rocket",
    "⭐": "star",
    "✨": "sparkles",
    "💯": "100",
    "💡": "bulb",
    "⚡": "zap",
    "✅": "white_check_mark",
    "✔": "heavy_check_mark",
    "❌": "x",
    "❓": "question",
    "❗": "exclamation",
    "⚠": "warning",
    "⏳": "hourglass_flowing_sand",
    "⌛": "hourglass",
    "🛑": "octagonal_sign",
    "📝": "memo",
    "📎": "paperclip",
    "🐛": "bug",
    "🤖": "robot_face",
}


def name_of(emoji: str) -> str | None:
    """Return an emoji's name at Slack; `None`: it is not known by one here."""
    plain = emoji.strip().strip(":")
    known = _NAMES.get(plain.replace(_VARIANT, ""))
    if known is not None:
        return known
    return plain if _NAME.fullmatch(plain) else None
