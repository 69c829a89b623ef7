"""One rule for all: which names share a topic, and which have one of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk import SettingsError, SharedTopics
from flowbridge_sdk.delivery.settings import PublisherSettings
from flowbridge_sdk.errors import BadNameError
from flowbridge_sdk.topics import topic_of

SHARED = SharedTopics.from_text("metaflow.*=metaflow-events, metaflow.big.*=big-flows,ci.*=metaflow-events")


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("metaflow.Flow.end", "metaflow-events"),
        ("metaflow.", "metaflow-events"),
        ("metaflow.big.Flow.end", "big-flows"),  # the longest beginning counts
        ("ci.done", "metaflow-events"),
        ("metaflow.ä ö", "metaflow-events"),  # no topic of its own, so nothing to escape
    ],
)
def test_names_with_a_beginning_share_its_topic(name: str, topic: str) -> None:
    assert SHARED.topic_for(name) == SHARED.shared_topic_for(name) == topic


@pytest.mark.parametrize("name", ["order.created", "metaflow", "a b"])
def test_every_other_name_has_a_topic_of_its_own(name: str) -> None:
    assert SHARED.topic_for(name) == topic_of(name)
    assert SHARED.shared_topic_for(name) is None


def test_a_name_whose_own_topic_others_share_shares_it() -> None:
    assert SHARED.shared_topic_for("big-flows") == "big-flows"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=15))
def test_without_patterns_every_name_has_its_own_topic(name: str) -> None:
    assert SharedTopics.from_text("").topic_for(name) == topic_of(name)


@pytest.mark.parametrize("name", ["", "metaflow." + "x" * 249])
def test_a_name_that_could_have_no_topic_is_refused_in_a_shared_one_too(name: str) -> None:
    with pytest.raises(BadNameError):
        SHARED.topic_for(name)


@pytest.mark.parametrize(
    "text", ["metaflow", "metaflow.*", "metaflow.=x", "a*b=x", "a*=", "a*=x y", "a*=..", "a*=x,a*=y", "a?*=x"]
)
def test_what_is_no_beginning_and_topic_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="shared topics: found"):
        SharedTopics.from_text(text)


def test_a_publisher_takes_them_from_its_argument_then_the_environment() -> None:
    environment = {"FLOWBRIDGE_BOOTSTRAP_SERVERS": "one:9092", "FLOWBRIDGE_SHARED_TOPICS": "ci.*=ci-events"}
    assert PublisherSettings.of(environment=environment).shared_topics.topics == {"ci-events"}
    given = PublisherSettings.of(environment=environment, shared_topics={"a*": "as"})
    assert given.shared_topics.topics == {"as"}
