"""Values of JSON become payloads: strictly, within bounds, and only where a header or a setting says that they are."""

import json
from decimal import Decimal
from typing import Any

import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import SettingsError, UndecodableError

JSON = [("content-type", b"application/json")]


def _read(text: str | bytes, headers: Any = JSON) -> dict[str, Any]:
    return Decoder().decode("orders", text.encode() if isinstance(text, str) else text, headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", b"application/json")],
        [("Content-Type", b"Application/JSON; charset=utf-8")],
        [("content-type", b"application/vnd.shop.order+json")],
        [("content-type", b"text/json")],
        [("ce_datacontenttype", b"application/json")],
    ],
)
def test_a_header_says_that_a_value_is_json(headers: Any) -> None:
    assert _read('{"order": "o-1"}', headers) == {"order": "o-1"}


@pytest.mark.parametrize(
    ("pattern", "is_read"),
    [("orders", True), ("ord*", True), ("*", True), ("order", False), ("orders.*", False), ("ORDERS", False)],
)
def test_a_setting_says_that_the_values_of_a_topic_are_bare_json(pattern: str, is_read: bool) -> None:  # noqa: FBT001 - a parameter of the table
    decoder = Decoder(json_topics=["other", pattern])
    if is_read:
        assert decoder.decode("orders", b' {"order": 1}') == {"order": 1}
    else:
        with pytest.raises(UndecodableError):
            decoder.decode("orders", b' {"order": 1}')


def test_a_topic_of_json_takes_avro_as_well() -> None:
    decoder = Decoder(json_topics=["orders"])
    assert decoder.decode("orders", Encoder().encode("orders", {"order": 1})) == {"order": 1}


@pytest.mark.parametrize("value", [b'{"order": 1}', b'\n [{"order": 1}]', b'\xef\xbb\xbf{"order": 1}'])
def test_what_looks_like_json_says_what_to_set(value: bytes) -> None:
    with pytest.raises(UndecodableError, match=r"this looks like JSON; .*FLOWBRIDGE_JSON_TOPICS=orders"):
        _read(value, [("content-type", b"application/octet-stream")])


def test_a_structured_cloudevent_is_called_by_its_name() -> None:
    with pytest.raises(UndecodableError, match="structured CloudEvent"):
        _read('{"specversion": "1.0"}', [("content-type", b"application/cloudevents+json")])


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ('{"n": 9223372036854775807}', {"n": 2**63 - 1}),
        ('{"n": 9223372036854775808}', {"n": Decimal(2**63)}),
        ('{"n": 1.0, "m": 1e3, "k": -0.0}', {"n": 1.0, "m": 1000.0, "k": -0.0}),
        ('{"a": [true, false, null, {"b": []}]}', {"a": [True, False, None, {"b": []}]}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (r'{"a": "\ud83d\ude00 \ud83d"}', {"a": "\U0001f600 \ufffd"}),
        (r'{"\ud83d": {"a": 1}}', {"\ufffd": {"a": 1}}),
        ("\ufeff{}", {}),
    ],
)
def test_json_is_read_as_the_page_says(text: str, payload: dict[str, Any]) -> None:
    found = _read(text)
    assert found == payload
    assert str(found) == str(payload)  # 1 and 1.0 are equal, and not the same
    assert Decoder().decode("orders", Encoder().encode("orders", found)) == payload


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1e999}', "1e999 is beyond what a double holds"),
        (b"[1]", "found an array, and a payload is an object"),
        (b'"text"', "found a text"),
        (b"null", "found a value"),
        (b"", "Expecting value"),
        (b'{"a": 1} {}', "Extra data"),
        (b"{'a': 1}", "Expecting property name"),
        (b'{"a": "\xff"}', "no UTF-8 at byte 7"),
        ('{"a": 1}'.encode("utf-16"), "no UTF-8"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "field a.a"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply; expected at most 64 levels"),
        (b'{"a": ' + b"9" * 1001 + b"}", "field a: found"),
        (b'{"a": ' + b"9" * 5000 + b"}", "limit"),
        (b'{"a": "' + b"x" * (1 << 20) + b'"}', "at most 1048576 are read"),
        (b'{"a": [' + b"1.5," * 200_000 + b"1.5]}", "as Avro; at most 1048576 are read"),
    ],
)
def test_what_is_no_payload_is_undecodable_and_says_why(value: bytes, problem: str) -> None:
    with pytest.raises(UndecodableError, match=problem) as error:
        _read(value)
    assert "a record of orders is JSON that cannot be read" in str(error.value)
    assert len(str(error.value)) < 1000


def test_any_json_object_of_python_comes_back() -> None:
    payload = {"name": "Ünï", "n": -1, "nested": {"list": [1, 2.5, "x", None, {"deep": [[]]}]}, "": ""}
    assert _read(json.dumps(payload)) == payload


@pytest.mark.parametrize("pattern", ["", "a b", "a*b", "x" * 250])
def test_a_pattern_that_is_no_topic_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"expected TOPIC or BEGINNING\*"):
        Decoder(json_topics=[pattern])
