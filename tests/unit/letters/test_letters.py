"""Letters as values, in files, and with headers for other consoles."""

from __future__ import annotations

import json
from struct import unpack
from typing import Any

import pytest

from bridge.kafka.log import Record
from bridge.letters.letter import Choice, Letter, LetterState, Mark, grouped, letter_of
from bridge.letters.letter_file import LetterFileError, letters_of, line_of
from bridge.letters.letter_log import LetterLog, LetterOwner
from bridge.stages.shared.dead_letters import Cause
from unit.letters.office import EVERY, Office, with_letters
from unit.letters.test_retrying import refused

RECORD = Record("orders", 3, 70, 1_700_000_000_000, b"\xff\0key", b"\0\x01bytes", [("h", b"\xfe"), ("h", b"")])


def letter(at: int = 1, reason: str = "unkeyed", triggers: tuple[str, ...] = ("jobs/ship",), **fields: Any) -> Letter:
    return Letter((0, at), "router", reason, f"text {at}", triggers, "", at, RECORD, **fields)


def mark(cause: Cause) -> Mark:
    return Mark(cause, "ann@host", 7, "", "")


def test_a_letter_is_read_as_it_was_written() -> None:
    first = letter()
    again = letter_of(Record("dead-letters", 0, 1, 0, b"k", first.encode(), []))
    assert again == first


def test_what_was_sent_is_sent_whatever_was_done_besides() -> None:
    assert letter().state is LetterState.OPEN
    assert letter(marks=(mark(Cause.DISCARD),)).state is LetterState.DISCARDED
    assert letter(marks=(mark(Cause.DISCARD), mark(Cause.SCHEMA))).state is LetterState.SENT
    assert letter(marks=(mark(Cause.EDIT), mark(Cause.DISCARD))).state is LetterState.EDITED


@pytest.mark.parametrize(
    ("choice", "fits"),
    [
        (Choice(), True),
        (Choice(places=frozenset({(0, 5)})), True),
        (Choice(places=frozenset({(0, 6)})), False),
        (Choice(trigger="jobs/ship"), True),
        (Choice(trigger="jobs/other"), False),
        (Choice(reason="unkeyed"), True),
        (Choice(reason="failed"), False),
        (Choice(topic="orders"), True),
        (Choice(topic="order"), False),
        (Choice(key="\ufffd\0key"), True),
        (Choice(key="key"), False),
        (Choice(since=5), True),
        (Choice(since=6), False),
        (Choice(until=6), True),
        (Choice(until=5), False),
        (Choice(states=frozenset({LetterState.SENT})), False),
    ],
)
def test_a_letter_fits_if_all_that_is_asked_for_is_true(choice: Choice, *, fits: bool) -> None:
    assert choice.fits(letter(5)) is fits


def test_letters_are_grouped_by_reason_and_trigger_with_the_first_and_the_last() -> None:
    letters = [
        letter(3),
        letter(1),
        letter(2),
        letter(9, triggers=()),
        letter(4, reason="failed"),
        letter(5, triggers=("jobs/other",)),
    ]
    groups = grouped(letters)
    found = [(group.reason, group.about, group.count, group.first, group.last, group.sample.at) for group in groups]
    assert found == [
        ("unkeyed", "all that read orders", 1, 9, 9, 9),
        ("unkeyed", "jobs/other", 1, 5, 5, 5),
        ("failed", "jobs/ship", 1, 4, 4, 4),
        ("unkeyed", "jobs/ship", 3, 1, 3, 3),
    ]


def test_a_file_keeps_all_bytes() -> None:
    first = letter()
    (again,) = letters_of([line_of(first, {"order": 1}).encode(), b"\n"])
    assert again.identity == first.identity
    assert (again.record, again.text, again.triggers) == (first.record, first.text, first.triggers)
    empty = Letter((0, 0), "submitter", "refused", "", (), "k", 1, Record("", -1, -1, -1, None, None, []))
    (again,) = letters_of([line_of(empty, None).encode()])
    assert again.record == empty.record


def changed(**fields: object) -> bytes:
    line = {**json.loads(line_of(letter(), None)), **fields}
    return json.dumps(line).encode()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"[1]", "line 1: expected a JSON object, found list"),
        (b"{", "line 1: expected a JSON object, found no JSON"),
        (b"\xff", "line 1: expected a JSON object, found no JSON"),
        (changed(format=2), "line 1: expected format 1, found 2"),
        (changed(stage=None), "stage: expected a text, found None"),
        (changed(at_us="1"), "at_us: expected a whole number of 64 bits, found '1'"),
        (changed(offset=2**63), "offset: expected a whole number of 64 bits"),
        (changed(offset=True), "offset: expected a whole number of 64 bits, found True"),
        (changed(partition=2**31), "partition: expected a whole number of 32 bits"),
        (changed(triggers="x"), "triggers: expected a list of texts, found 'x'"),
        (changed(headers=[{}]), "headers: expected a list of objects with name and value_base64"),
        (changed(headers=[{"name": "h", "value_base64": "="}]), "headers.h: expected base64 or null, found '='"),
        (changed(value_base64="@"), "value_base64: expected base64 or null, found '@'"),
        (changed(value_base64=7), "value_base64: expected base64 or null, found '7'"),
        (changed(topic=""), "topic and run_key: expected one of them, found both empty"),
        (changed(text="\ud800"), "text: expected Unicode, found half a character"),
    ],
)
def test_a_line_that_is_no_letter_is_refused_with_its_number(line: bytes, error: str) -> None:
    with pytest.raises(LetterFileError) as refusal:
        list(letters_of([line]))
    assert error in str(refusal.value)


def test_letters_that_are_added_are_read_as_they_were() -> None:
    world = with_letters(3)
    office = Office(world)
    letters = office.read()
    owner = LetterOwner(office.log, world.topics, "ann@host")
    owner.add(letters)
    again = office.read()
    assert sorted(each.identity for each in again) == sorted(each.identity for each in (*letters, *letters))
    assert {each.record for each in map(with_plain_headers, again)} == {
        each.record for each in map(with_plain_headers, letters)
    }


def with_plain_headers(each: Letter) -> Letter:
    return Letter(
        each.place,
        each.stage,
        each.reason,
        each.text,
        each.triggers,
        each.run_key,
        each.at,
        each.record._replace(headers=tuple(each.record.headers)),
    )


def test_other_records_in_the_topics_are_counted_and_stop_nothing() -> None:
    world = with_letters(2)
    world.broker.append(world.topics.dead_letters, 0, None, b"foreign")
    world.broker.append(world.topics.retries, 1, None, b"foreign")
    office = Office(world)
    letters = LetterLog(office.log, world.topics)
    assert len(list(letters.read(EVERY))) == 2
    assert letters.unreadable == 2


def test_a_letter_has_the_headers_of_kafka_streams_and_spring() -> None:
    world = with_letters(1)
    (record,) = world.records(world.topics.dead_letters)
    headers = dict(record.headers)
    (about,) = Office(world).read()
    assert headers["flowbridge-stage"] == b"router"
    assert headers["flowbridge-reason"] == headers["__streams.errors.exception"] == b"unkeyed"
    assert headers["flowbridge-trigger"] == b"default/ship"
    assert headers["__streams.errors.message"] == headers["kafka_dlt-exception-message"] == about.text.encode()
    places = [headers[f"__streams.errors.{name}"] for name in ("topic", "partition", "offset")]
    assert places == [b"order.created", b"0", b"0"]
    assert headers["kafka_dlt-original-topic"] == b"order.created"
    assert unpack(">i", headers["kafka_dlt-original-partition"]) == (0,)
    assert unpack(">q", headers["kafka_dlt-original-offset"]) == (0,)
    assert unpack(">q", headers["kafka_dlt-original-timestamp"]) == (about.record.timestamp,)
    assert headers["kafka_dlt-original-consumer-group"] == b"fb.router"


def test_a_run_has_no_headers_about_a_place() -> None:
    world = refused()
    (record,) = world.records(world.topics.dead_letters)
    headers = dict(record.headers)
    assert headers["flowbridge-reason"] == b"refused"
    assert not [name for name in headers if "original-topic" in name or "errors.topic" in name]
