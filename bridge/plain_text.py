"""Errors of libraries, as people can read them."""

from __future__ import annotations


def plain_text(error: BaseException) -> str:
    """Return an error for people, without the object addresses that urllib3 puts in front."""
    text = str(error) or type(error).__name__
    return text.rpartition("object at 0x")[2].partition(": ")[2] or text if "object at 0x" in text else text
