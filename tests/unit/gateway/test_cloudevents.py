"""The promises of the second path: what any CloudEvents client sends becomes an event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.gateway.incoming import SOURCE
from unit.gateway.house import CLOUDEVENTS, House, metaflow_body, run

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BINARY = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-source": "/shop",
    "ce-type": "order.created",
    "ce-time": "2026-01-31T12:00:00Z",
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/shop",
    "type": "order.created",
    "time": "2026-01-31T13:00:00+01:00",
    "partitionkey": "c-7",
    "traceparent": "00-ab",
    "data": {"order_id": "o-1"},
}


def test_structured_and_binary_say_the_same() -> None:
    async def work() -> None:
        house = House()
        assert (await house.post(EVENT, STRUCTURED, CLOUDEVENTS)).status_code == 200
        binary = {**BINARY, "ce-partitionkey": "c-7", "ce-traceparent": "00-ab"}
        assert (await house.post({"order_id": "o-1"}, binary, CLOUDEVENTS)).status_code == 200
        record, other = house.log.events["order.created"]
        assert record == other
        assert record.key == b"c-7"
        assert ("ce_traceparent", b"00-ab") in record.headers
        head, payload = house.events("order.created")[0]
        assert head == ("order.created", "e-1", "/shop", 1_769_860_800_000_000)
        assert payload == {"order_id": "o-1"}

    run(work)


def test_a_cloudevent_keeps_its_source_since_its_id_is_unique_only_there() -> None:
    async def work() -> None:
        house = House()
        for source in ("/shop", "/warehouse"):
            assert (await house.post({**EVENT, "source": source}, STRUCTURED, CLOUDEVENTS)).status_code == 200
        assert [head.source for head, _ in house.events("order.created")] == ["/shop", "/warehouse"]

    run(work)


def test_where_there_is_one_source_for_all_a_cloudevent_and_metaflows_are_one_event() -> None:
    async def work() -> None:
        house = House(keeps_sources=False)
        assert (await house.post(EVENT, STRUCTURED, CLOUDEVENTS)).status_code == 200
        assert (await house.post(metaflow_body("order.created", id=EVENT["id"]))).status_code == 200
        assert (await house.post({**EVENT, "source": ""}, STRUCTURED, CLOUDEVENTS)).status_code == 400
        assert {head[:3] for head, _ in house.events("order.created")} == {("order.created", "e-1", SOURCE)}

    run(work)


def test_data_in_base64_is_a_payload_where_it_is_json() -> None:
    async def work() -> None:
        house = House()
        event = {key: value for key, value in EVENT.items() if key != "data"}
        event |= {"data_base64": "eyJvcmRlcl9pZCI6ICJvLTEifQ==", "datacontenttype": "application/vnd.shop+json"}
        assert (await house.post(event, STRUCTURED, CLOUDEVENTS)).status_code == 200
        ((_, payload),) = house.events("order.created")
        assert payload == {"order_id": "o-1"}

    run(work)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Caf%C3%A9", "Café"),
        ("a%2520b", "a%20b"),  # percents are undone once
        ('"a \\"shop\\""', 'a "shop"'),  # as older versions of CloudEvents wrote it
        ('"a%20b"', "a b"),
        ('a"b', 'a"b'),
    ],
)
def test_a_header_of_http_is_read_as_its_binding_says(text: str, source: str) -> None:
    async def work() -> None:
        house = House()
        assert (await house.post({}, {**BINARY, "ce-source": text}, CLOUDEVENTS)).status_code == 200
        assert [head.source for head, _ in house.events("order.created")] == [source]

    run(work)


def test_an_event_without_data_has_an_empty_payload_and_percents_are_undone() -> None:
    async def work() -> None:
        house = House()
        headers = {**BINARY, "ce-source": "Caf%C3%A9"}
        del headers["content-type"]
        assert (await house.post(b"", headers, CLOUDEVENTS)).status_code == 200
        ((head, payload),) = house.events("order.created")
        assert (head.source, payload) == ("Café", {})

    run(work)


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"specversion": "0.3"}, 400, "specversion: expected 1.0, found '0.3'"),
        ({"id": ""}, 400, "id: expected a text that is not empty, found ''"),
        ({"source": None}, 400, "source: expected a text that is not empty, found None"),
        ({"type": 7}, 400, "type: expected a text that is not empty, found 7"),
        ({"type": "order\n.created"}, 400, "no control characters"),
        ({"time": "noon"}, 400, "in the years 1 to 9999 in UTC, found 'noon'"),
        ({"time": "2026-01-31T12:00:00"}, 400, "time: expected RFC 3339 with a time zone, as in"),
        ({"time": "0001-01-01T00:00:00+14:00"}, 400, "time: expected RFC 3339 with a time zone, as in"),
        ({"time": "2026-W05-6T12:00:00Z"}, 400, "time: expected RFC 3339 with a time zone, as in"),
        ({"time": 7}, 400, "time: expected RFC 3339 with a time zone"),
        ({"data": "text"}, 400, "data: expected a JSON object"),
        ({"data": [1]}, 400, "data: expected a JSON object; its fields are the payload's. Found an array"),
        ({"data_base64": "e30="}, 400, "expected data or data_base64, found both"),
        ({"data": None, "data_base64": "e30="}, 400, "datacontenttype: expected it, since the data is bytes"),
        ({"data": None, "data_base64": "!"}, 400, "data_base64: expected base64, found '!'"),
        ({"data": "<a/>", "datacontenttype": "application/xml"}, 415, "datacontenttype 'application/xml' is not taken"),
        (
            {"data": None, "data_base64": "wwE=", "datacontenttype": "application/avro"},
            415,
            "datacontenttype application/avro is not taken; these content types are: application/cloudevents+json",
        ),
        ({"partitionkey": 7}, 400, "partitionkey"),
        ({"partitionkey": "k" * 1025}, 400, "the key has 1025 bytes"),
        ({"extension": "x" * 5000}, 400, "extensions"),
        ({"Not-A-Name": "x"}, 400, "extensions"),
        ({"extension": {}}, 400, "extensions"),
        ({"id": "\ud83d"}, 400, "id: found half a character"),
    ],
)
def test_what_is_no_cloudevent_is_refused_with_what_was_found(change: dict[str, Any], status: int, text: str) -> None:
    async def work() -> None:
        house = House()
        answer = await house.post({**EVENT, **change}, STRUCTURED, CLOUDEVENTS)
        assert (answer.status_code, text in answer.text) == (status, True), answer.text
        assert not house.log.events

    run(work)


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({"content-type": "application/cloudevents-batch+json"}, 415, "cloudevents-batch+json' is not taken; these"),
        ({"content-type": "application/cloudevents+avro"}, 415, "is not taken; these content types are: application/"),
        ({"content-type": "application/json"}, 400, "expected content-type application/cloudevents+json, or headers"),
        ({**BINARY, "content-type": "text/plain"}, 415, "content-type 'text/plain' is not taken; these content types"),
        ({**BINARY, "ce-source": "%FF"}, 400, "a header ce-…: expected UTF-8 behind percent signs"),
    ],
)
def test_other_forms_are_refused_with_what_is_taken(headers: dict[str, str], status: int, text: str) -> None:
    async def work() -> None:
        answer = await House().post(json.dumps({}).encode(), headers, CLOUDEVENTS)
        assert (answer.status_code, text in answer.text) == (status, True), answer.text

    run(work)


def test_its_clients_are_told_what_they_may_try_again() -> None:
    async def work() -> None:
        house = House()
        assert (await house.post(b"", path=CLOUDEVENTS, method="GET")).status_code == 405
        assert (await house.post(b" " * (1 << 20) + b" ", STRUCTURED, CLOUDEVENTS)).status_code == 413

    run(work)
