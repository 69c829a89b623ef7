"""The promises of correlation."""

import datetime as dt
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.correlation_key import KEY_LIMIT, UnkeyedError, key_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("c-7", "c-7"),
        (7, "7"),
        ("7", "7"),
        (-7, "-7"),
        (True, "true"),
        ("true", "true"),
        (False, "false"),
        (b"\x01\xff", "01ff"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.date(2026, 5, 1), "2026-05-01"),
    ],
)
def test_what_reads_the_same_is_the_same_key(value: Any, text: str) -> None:
    assert key_text(value) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7.0, "a float; write int"),
        (None, "null"),
        ([1], "list"),
        ({}, "dict"),
        (dt.datetime(2026, 5, 1, tzinfo=dt.UTC), "datetime"),
        ("", "empty"),
        (b"", "empty"),
        ("x" * (KEY_LIMIT + 1), "1025 bytes"),
        ("é" * (KEY_LIMIT // 2 + 1), "1026 bytes"),
        (10**700, "bits"),
    ],
)
def test_what_is_no_key_says_why(value: Any, reason: str) -> None:
    with pytest.raises(UnkeyedError, match=reason):
        key_text(value)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(-(2**63), 2**63 - 1))
def test_an_int_and_its_digits_meet(number: int) -> None:
    assert key_text(number) == key_text(str(number))
