"""Names become topics and come back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk.errors import BadNameError
from flowbridge_sdk.topics import TOPIC_LIMIT, name_of, topic_of

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=15)
lookalikes = st.text("_x25f.- ä", min_size=1, max_size=20)
topics = st.from_regex(r"[a-zA-Z0-9._-]{1,30}", fullmatch=True).filter(lambda topic: topic not in (".", ".."))


@given(names | lookalikes)
def test_a_name_survives_its_topic(name: str) -> None:
    assert name_of(topic_of(name)) == name


@given(names | lookalikes)
def test_every_name_becomes_a_topic_that_kafka_accepts(name: str) -> None:
    topic = topic_of(name)
    assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic)
    assert topic not in (".", "..")


@pytest.mark.parametrize("name", ["order.created", "a_b-c.D9", "_x", "_xyz", "metaflow.p.user.me.Flow.end"])
def test_a_name_that_kafka_accepts_stays_as_it_is(name: str) -> None:
    assert topic_of(name) == name


@pytest.mark.parametrize(
    ("name", "topic"),
    [("a b", "a_x20b"), (".", "_x2e"), ("..", "_x2e_x2e"), ("_x20", "_x5fx20"), ("ä", "_xc3_xa4")],
)
def test_escapes_are_bytes_of_utf_8(name: str, topic: str) -> None:
    assert topic_of(name) == topic


@given(topics | st.from_regex(r"[a-z]{0,2}(_x[0-9a-f]{2}){1,3}[x0-9a-f]{0,3}", fullmatch=True))
def test_every_topic_stands_for_a_name(topic: str) -> None:
    assert name_of(topic)


@pytest.mark.parametrize(
    "name", ["", "x" * (TOPIC_LIMIT + 1), "ä" * 32, "\ud800", 7, None, "a\nb", "\x1b[2J", "a\x7f", "\x9b", "\0"]
)
def test_a_name_that_no_topic_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadNameError):
        topic_of(name)


def test_a_topic_that_would_stand_for_a_control_character_stands_for_itself() -> None:
    assert name_of("a_x0ab") == "a_x0ab"


def test_the_longest_name_passes() -> None:
    assert topic_of("x" * TOPIC_LIMIT) == "x" * TOPIC_LIMIT
