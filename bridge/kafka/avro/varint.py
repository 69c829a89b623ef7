"""Avro's numbers: a long in zigzag order, seven bits a byte, the lowest first.

Most numbers in our records are lengths of a byte or two, offsets of three or four, or microseconds since the epoch,
which take eight bytes until the year 2541. They have code of their own, which is several times faster than a loop over
the bytes.
"""

from __future__ import annotations

import struct

_eight_at, _sixteen_at = struct.Struct("<Q").unpack_from, struct.Struct("<QQ").unpack_from
_MORE = 0x80
_GROUP = 0x7F
_LONGEST = 64  # bits
_INT = 1 << 31
_THREE_BYTES_FROM, _THREE_BYTES_TO, _FOUR_BYTES_TO = 1 << 14, 1 << 21, 1 << 28
_EIGHT_BYTES_FROM, _EIGHT_BYTES_TO = 1 << 49, 1 << 56
_MOMENTS_FROM, _MOMENTS_TO = _EIGHT_BYTES_FROM >> 1, _EIGHT_BYTES_TO >> 1
_CONTINUED = 0x0080808080808080  # all bytes but the last say that more follows
_BOTH_CONTINUED = _CONTINUED << 64 | _CONTINUED


def _plain(zigzag: int) -> bytes:
    out = bytearray()
    while zigzag >= _MORE:
        out.append(zigzag & _GROUP | _MORE)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


SIZES = tuple(_plain(size << 1) for size in range(8_192))
"""The numbers from 0 on, as they are written."""


def long_bytes(number: int) -> bytes:
    """Return a number as Avro writes a long.

    Raises:
        OverflowError: It takes more than 64 bits, so no reader could read it.

    """
    zigzag = number << 1 if number >= 0 else ((-number) << 1) - 1
    if _EIGHT_BYTES_FROM <= zigzag < _EIGHT_BYTES_TO:
        # the groups of seven bits move apart: one half by four bits (15 times itself is added), then quarters by two
        zigzag += (zigzag & 0xFFFFFFF0000000) * 15
        zigzag += (zigzag & 0x0FFFC0000FFFC000) * 3
        zigzag += zigzag & 0x3F803F803F803F80
        return (zigzag | _CONTINUED).to_bytes(8, "little")
    if _THREE_BYTES_FROM <= zigzag < _FOUR_BYTES_TO:
        if zigzag < _THREE_BYTES_TO:
            return bytes((zigzag & 127 | 128, zigzag >> 7 & 127 | 128, zigzag >> 14))
        return bytes((zigzag & 127 | 128, zigzag >> 7 & 127 | 128, zigzag >> 14 & 127 | 128, zigzag >> 21))
    if zigzag >> _LONGEST:
        raise OverflowError(f"expected a number of at most 64 bits, found {number}")
    return _plain(zigzag)


def two_longs(first: int, second: int) -> tuple[bytes, bytes]:
    """Return two numbers as Avro writes longs. Two moments together take four fifths of the time.

    Raises:
        OverflowError: One of them takes more than 64 bits.

    """
    if _MOMENTS_FROM <= first < _MOMENTS_TO and _MOMENTS_FROM <= second < _MOMENTS_TO:
        spread = (second << 64 | first) << 1  # then as in `long_bytes`
        spread += (spread & 0xFFFFFFF000000000FFFFFFF0000000) * 15
        spread += (spread & 0x0FFFC0000FFFC0000FFFC0000FFFC000) * 3
        spread += spread & 0x3F803F803F803F803F803F803F803F80
        written = (spread | _BOTH_CONTINUED).to_bytes(16, "little")
        return written[:8], written[8:]
    return long_bytes(first), long_bytes(second)


def int_bytes(number: int) -> bytes:
    """Return a number as Avro writes an int.

    Raises:
        OverflowError: It takes more than 32 bits.

    """
    if not -_INT <= number < _INT:
        raise OverflowError(f"expected a number of at most 32 bits, found {number}")
    return long_bytes(number)


def long_at(buf: bytes, pos: int) -> tuple[int, int]:
    """Return the long at a position, and the position behind it.

    Raises:
        IndexError: The bytes end inside it.
        ValueError: It takes more than 64 bits.

    """
    try:
        (eight,) = _eight_at(buf, pos)
    except struct.error:  # fewer are left
        eight = 0
    if eight & 0x8080808080808080 == _CONTINUED:
        packed = eight ^ _CONTINUED
        packed -= (packed & 0x7F007F007F007F00) >> 1
        packed = packed & 0x00003FFF00003FFF | (packed & 0x3FFF00003FFF0000) >> 2
        packed = packed & 0xFFFFFFF | (packed & 0x0FFFFFFF00000000) >> 4
        return packed >> 1 ^ -(packed & 1), pos + 8
    number = shift = 0
    while (byte := buf[pos]) > 127:  # noqa: PLR2004 - the bare numbers: names would cost a third of the loop
        number |= (byte & 127) << shift
        shift += 7
        pos += 1
        if shift >= _LONGEST:
            raise ValueError("a number takes more than 64 bits")
    number |= byte << shift
    return number >> 1 ^ -(number & 1), pos + 1


def two_longs_at(buf: bytes, pos: int) -> tuple[int, int, int]:
    """Return two longs of which the first is at a position, and the position behind both; it raises as `long_at`.

    Two moments together take two thirds of the time.
    """
    try:
        first, second = _sixteen_at(buf, pos)
    except struct.error:  # fewer bytes are left
        first = second = 0
    if first & 0x8080808080808081 == _CONTINUED == second & 0x8080808080808081:  # and both are positive
        packed = (second << 64 | first) ^ _BOTH_CONTINUED
        packed -= (packed & 0x7F007F007F007F007F007F007F007F00) >> 1
        packed = packed & 0x00003FFF00003FFF00003FFF00003FFF | (packed & 0x3FFF00003FFF00003FFF00003FFF0000) >> 2
        packed = (packed & 0xFFFFFFF000000000FFFFFFF | (packed & 0x0FFFFFFF000000000FFFFFFF00000000) >> 4) >> 1
        return packed & 0x7FFFFFFFFFFFFFFF, packed >> 64, pos + 16
    first, pos = long_at(buf, pos)
    second, pos = long_at(buf, pos)
    return first, second, pos
