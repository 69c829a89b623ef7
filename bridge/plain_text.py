"""Make texts of libraries, events and users safe to read in a terminal.

Ids, names and errors may hold characters that a terminal obeys and does not show: escape sequences, line breaks, the
controls of writing direction. They could forge or hide lines. :func:`visible` writes them as JSON escapes them, and
leaves all other characters of any language as they are.
"""

from __future__ import annotations

import re

_INVISIBLE = (
    r"\x00-\x1f\x7f-\x9f"  # controls; ESC and the one-byte CSI among them
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # writing direction
    r"\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # lines, and what has no width; joiners stay
    r"\ud800-\udfff\U000e0000-\U000e007f"  # halves of pairs, which cannot be written; invisible tags
)
_IN_A_LINE = re.compile(f"[{_INVISIBLE}]")
_IN_LINES = re.compile(f"(?!\\n)[{_INVISIBLE}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain_text(error: BaseException) -> str:
    """Return an error for people, without the object addresses that urllib3 puts in front."""
    text = str(error) or type(error).__name__
    return text.rpartition("object at 0x")[2].partition(": ")[2] or text if "object at 0x" in text else text


def visible(text: str, *, lines: bool = False) -> str:
    """Return text that a terminal shows whole, and that holds no commands to it.

    JSON text keeps its meaning: the escaped characters stand inside of its strings, and are escaped as in JSON.

    Args:
        text: Any text.
        lines: Keep line feeds: the text has several lines.

    """
    if text.isascii() and text.isprintable():
        return text

    def escaped(match: re.Match[str]) -> str:
        if match[0] in _SHORT:
            return _SHORT[match[0]]
        units = match[0].encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

    return (_IN_LINES if lines else _IN_A_LINE).sub(escaped, text)
