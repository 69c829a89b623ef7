"""A failing script made small: which of its acts can be left out so that it still fails (delta debugging).

Whole stretches of acts are left out first, then smaller ones, then single ones, until none can go. What fails may come
to fail in another way on the way down; each failure is worth a look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


def shrink(numbers: Sequence[int], fails: Callable[[frozenset[int]], bool], tries: int = 400) -> frozenset[int]:
    """Return what to leave out.

    Args:
        numbers: Everything that could be left out.
        fails: Tells whether it still fails without these; true of nothing.
        tries: How often to ask at most.

    """
    kept = list(numbers)
    size = max(1, len(kept) // 2)
    while tries > 0 and kept:
        left, at = len(kept), 0
        while at < len(kept) and tries > 0:
            candidate = kept[:at] + kept[at + size :]
            tries -= 1
            if fails(frozenset(numbers) - frozenset(candidate)):
                kept = candidate
            else:
                at += size
        if size == 1 and len(kept) == left:
            break
        size = max(1, size // 2)
    return frozenset(numbers) - frozenset(kept)


def ranges(numbers: frozenset[int]) -> str:
    """Return numbers as text: ``0-3,7``."""
    parts: list[str] = []
    for number in sorted(numbers):
        first, _, last = parts[-1].partition("-") if parts else ("", "", "")
        if parts and int(last or first) == number - 1:
            parts[-1] = f"{first}-{number}"
        else:
            parts.append(str(number))
    return ",".join(parts)


def numbers_of(text: str) -> frozenset[int]:
    """Return the numbers of such a text."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
