"""The promises of the webhook path: what ArgoEvent posts becomes an event that a router reads, nothing of it lost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bridge.gateway.answers import Answer
from bridge.gateway.incoming import SOURCE, Incoming
from bridge.gateway.webhook import read_webhook
from unit.gateway.house import House, metaflow_body, run

NOON = 1_769_860_800_000_000


def read(text: str) -> Incoming:
    found = read_webhook(text.encode())
    assert isinstance(found, Incoming)
    return found


def with_field(field: str, text: str) -> str:
    return f'{{"name": "x", "payload": {{"{field}": {text}}}}}'


def test_name_id_time_and_payload_are_kept_and_the_source_is_one() -> None:
    async def work() -> None:
        house, body = House(), metaflow_body("data.updated", table="sales", rows=3, nested={"a": [1, None, "ü"]})
        answer = await house.post(body)
        assert (answer.status_code, answer.text) == (200, "success")
        ((head, payload),) = house.events("data.updated")
        assert head == ("data.updated", "e-1", SOURCE, NOON)
        assert payload == body["payload"]

    run(work)


def test_the_name_inside_the_payload_counts_since_sensors_filter_by_it() -> None:
    assert read('{"name": "outer", "payload": {"name": "inner"}}').name == "inner"
    assert read('{"name": "outer", "payload": {"name": 7}}').name == "outer"
    assert read('{"payload": {"name": "inner"}}').name == "inner"
    assert read('{"name": "outer"}').payload == {}


@pytest.mark.parametrize(
    ("id_", "kept"), [('"Flow/argo-x/end/t-1"', "Flow/argo-x/end/t-1"), ("42", "42"), ('"42"', "42")]
)
def test_an_id_is_kept_as_a_text(id_: str, kept: str) -> None:
    assert read(with_field("id", id_)).id == kept


@pytest.mark.parametrize("id_", ["null", '""', "true", "1.5", "[]"])
def test_what_can_be_no_id_gives_way_to_a_random_one(id_: str) -> None:
    text = with_field("id", id_)
    assert len(read(text).id) == 36
    assert read(text).id != read(text).id


@pytest.mark.parametrize("timestamp", ["1769860800", '"1769860800"', "1769860800.0"])
def test_a_timestamp_in_seconds_is_the_events_time(timestamp: str) -> None:
    assert read(with_field("timestamp", timestamp)).time == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("timestamp", ["1769860800000", '"yesterday"', "-1", "true", "null", "1e300"])
def test_what_is_no_time_in_seconds_gives_way_to_now(timestamp: str) -> None:
    before = datetime.now(UTC)
    assert before <= read(with_field("timestamp", timestamp)).time


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no UTF-8 at byte 0"),
        (b"[]", "no JSON object"),
        (b'"x"', "no JSON object"),
        (b"{}", "name: found None"),
        (b'{"name": 3}', "name: found 3"),
        (b'{"name": ""}', "name: found ''"),
        (b'{"name": "x", "payload": []}', "payload: found []"),
        (b'{"name": "x", "payload": {"a": NaN}}', "NaN is no JSON number"),
        (b'{"name": "x", "payload": {"a": 1e999}}', "field a: found a float inf"),
        (b'{"name": "x", "payload": {"a": %s}}' % (b"9" * 5000), "no JSON"),
        (b'{"name": "%s"}' % (b"x" * 250), "249 is the limit"),
        (b'{"name": "\\ud800"}', "lone surrogate"),
        (b'{"name": "a\\u001b[2J"}', "no control characters"),
        (b'{"name": "x", "payload": {"id": "%s"}}' % (b"i" * 1025), "1024 is the limit"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"name": "x", "payload": {"a": %s0%s}}' % (b"[" * 64, b"]" * 64), "at most 64 containers"),
        (b'{"name": "x", "payload": [%s]}' % (b'{"a":' * 20_000), "nested too deeply"),
    ],
)
def test_what_is_no_event_is_answered_400_with_what_was_found(body: bytes, text: str) -> None:
    async def work() -> None:
        house = House()
        answer = await house.post(body)
        assert answer.status_code == 400
        assert text in answer.text
        assert not house.log.events

    run(work)


def test_as_deep_as_allowed_is_taken() -> None:
    async def work() -> None:
        answer = await House().post(b'{"name": "x", "payload": {"a": %s0%s}}' % (b"[" * 63, b"]" * 63))
        assert answer.status_code == 200

    run(work)


def test_what_only_json_can_say_is_kept_as_near_as_can_be() -> None:
    async def work() -> None:
        house = House()
        odd = b'{"name": "x", "payload": {"big": 123456789012345678901234567890, "cut": "a\\ud800b", "n": [1.5, -2]}}'
        assert (await house.post(odd)).status_code == 200
        ((_, payload),) = house.events("x")
        assert payload == {"big": Decimal(123456789012345678901234567890), "cut": "a\ufffdb", "n": [1.5, -2]}

    run(work)


def test_whatever_json_holds_reading_it_never_raises() -> None:
    odd: list[Any] = [b"null", b"0", b'{"name": {}}', b'{"payload": {"name": []}}', b'{"name": "a", "payload": null}']
    for body in odd:
        assert isinstance(read_webhook(body), Incoming | Answer)
