"""The promises of durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.duration import LONGEST, DurationError, duration_text, parse_duration


@given(st.integers(min_value=0, max_value=LONGEST))
def test_what_is_written_is_read_as_the_same(length: int) -> None:
    assert parse_duration(duration_text(length)) == length


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("250ms", 250_000),
        ("1.5s", 1_500_000),
        ("1h30m", 5_400_000_000),
        (" 7d ", 604_800_000_000),
        ("3us", 3),
    ],
)
def test_a_length_is_numbers_with_units(text: str, micros: int) -> None:
    assert parse_duration(text) == micros


@pytest.mark.parametrize(
    "text", ["", " ", "10", "1.5", "h", "1m1h", "1h1h", "-1s", "1 s", "1S", "1w", "0.1us", "9999d", "\uff11s"]
)
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(DurationError, match="1h30m"):
        parse_duration(text)
