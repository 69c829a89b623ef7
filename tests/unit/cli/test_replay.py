"""What a person writes for a replay, and what the command says of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.cli.naming import bound
from bridge.cli.replay.carrying_out import counts_text
from bridge.cli.replay.existing import _request_text, _state_text
from bridge.cli.replay.new import _expression, _name_for
from bridge.core.event import DAY, HOUR, SECOND
from bridge.errors import UsageError
from bridge.kafka.log import Partition
from bridge.replay.replays import Replay, request_json
from bridge.replay.request import Bound, Request

NOW = 1_795_892_667_000_000  # 2026-11-28T19:04:27Z

REPLAY = Replay(
    name="monday",
    trigger="jobs/ship",
    definition="d" * 20,
    spec="{}",
    request=request_json(Request("jobs/ship", Bound(NOW - HOUR, text="1h"))),
    reads="[]",
    who="ann@host",
    why="",
    created_at=NOW,
    advanced_at=NOW,
    planned=7,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("earliest", Bound(text="earliest")),
        ("2h", Bound(NOW - 2 * HOUR, text="2h")),
        ("1d12h", Bound(NOW - DAY - 12 * HOUR, text="1d12h")),
        ("1970-01-02", Bound(DAY, text="1970-01-02")),
        ("1970-01-01T01:00+01:00", Bound(0, text="1970-01-01T01:00+01:00")),
        ("1970-01-01T00:00:00.7Z", Bound(700_000, text="1970-01-01T00:00:00.7Z")),
        ("1969-12-31T23:59:59.5Z", Bound(-500_000, text="1969-12-31T23:59:59.5Z")),
        (
            "shop.order/0=120, shop.order/12=9",
            Bound(
                offsets={Partition("shop.order", 0): 120, Partition("shop.order", 12): 9},
                text="shop.order/0=120, shop.order/12=9",
            ),
        ),
    ],
)
def test_a_bound_is_a_time_a_length_of_time_ago_or_offsets(text: str, expected: Bound) -> None:
    assert bound(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2 hours", "shop/0=", "shop=7", "/0=7", "shop/x=7", "2026-02-30"])
def test_what_is_no_bound_is_refused_with_the_right_forms(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        bound(text, NOW)
    assert refused.value.remedy.startswith("write ")


def test_a_filter_may_use_the_payload_and_the_event_alone() -> None:
    assert _expression(None) is None
    assert _expression("payload.rows > 3 && event.key == 'c'") is not None
    with pytest.raises(UsageError, match="there is no variable order"):
        _expression("order.payload.rows > 3")
    with pytest.raises(UsageError, match="--where: "):
        _expression("payload.rows >")


@pytest.mark.parametrize(
    ("trigger", "name"),
    [
        ("jobs/ship", "ship-20261128-190427"),
        ("jobs/Ship.Order", "ship-order-20261128-190427"),
        (f"jobs/{'x' * 90}", f"{'x' * 47}-20261128-190427"),
        ("jobs/.", "20261128-190427"),
    ],
)
def test_a_replay_without_a_name_has_that_of_its_trigger_and_the_time_as_a_label_may_have_it(
    trigger: str, name: str
) -> None:
    assert _name_for(trigger, NOW) == name
    assert len(name) <= 63


def test_the_counts_say_what_was_dealt_with_and_how() -> None:
    assert counts_text(REPLAY) == "submitted 0 of 7"
    counts = {"submitted": 3, "dead": 2, "ran meanwhile": 1, "skipped": 0}
    assert counts_text(replace(REPLAY, counts=counts)) == "submitted 3 of 7, 2 dead, 1 ran meanwhile"


def test_what_was_asked_for_is_shown_as_the_options_that_were_given() -> None:
    assert _request_text(REPLAY) == "--from 1h"
    asked = Request(
        "jobs/ship",
        Bound(NOW, text="1h"),
        Bound(NOW, text="now"),
        where="payload.a == 'b'",
        newest_first=True,
        limit=3,
        rate=2.5,
    )
    shown = _request_text(replace(REPLAY, request=request_json(asked)))
    assert shown.split(" --") == [
        "--from 1h",
        "to now",
        "where 'payload.a == '\"'\"'b'\"'\"''",
        "limit 3",
        "newest-first",
        "rate 2.5",
    ]


def test_a_replay_that_has_not_advanced_for_long_is_shown_as_doubtful() -> None:
    assert _state_text(replace(REPLAY, state="running")) == "running?"
    assert _state_text(replace(REPLAY, state="running", advanced_at=2 * 10**15 + SECOND)) == "running"
    assert _state_text(replace(REPLAY, state="paused")) == "paused"
