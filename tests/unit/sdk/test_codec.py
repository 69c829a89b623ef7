"""Every framing that docs/sdk.md names is read, and each failure is told apart."""

import json
from collections.abc import Iterator

import pytest

from flowbridge_sdk.codec import Decoder, Encoder
from flowbridge_sdk.errors import (
    DecodeError,
    NullValueError,
    RegistryUnavailableError,
    UndecodableError,
    UnknownFingerprintError,
    UnknownSchemaIdError,
)
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema, EventSchemas
from unit.sdk.registry_server import FakeRegistry, serving

TEXT = json.dumps({"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "string"}]})
SCHEMAS = EventSchemas.of([EventSchema.parse("order.created", TEXT, "order.created.avsc")])
PAYLOAD = {"order_id": "o-1"}
BODY = b"\x06o-1"
SUBJECT = "order.created-value"


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with serving() as registry:
        yield registry


@pytest.fixture
def decoder(server: FakeRegistry) -> Decoder:
    return Decoder(SCHEMAS, Registry(server.url, config={"max.retries": 0}))


def test_single_objects_are_read_without_asking_the_registry(server: FakeRegistry, decoder: Decoder) -> None:
    assert decoder.decode("order.created", Encoder(SCHEMAS).encode("order.created", PAYLOAD)) == PAYLOAD
    assert server.requests == 0


def test_a_schema_is_asked_for_once(server: FakeRegistry, decoder: Decoder) -> None:
    number = server.register(SUBJECT, {"schema": TEXT})
    value = b"\x00" + number.to_bytes(4, "big") + BODY
    assert decoder.decode("order.created", value) == PAYLOAD
    assert decoder.decode("order.created", value) == PAYLOAD
    assert server.requests == 1


def test_an_id_that_the_registry_does_not_know_is_permanent(server: FakeRegistry, decoder: Decoder) -> None:
    for _ in range(3):
        with pytest.raises(UnknownSchemaIdError, match="schema id 77") as unknown:
            decoder.decode("order.created", b"\x00\x00\x00\x00\x4d" + BODY)
    assert unknown.value.permanent
    assert server.requests == 1


@pytest.mark.parametrize("status", [500, 503, 401, 404])
def test_a_registry_that_answers_with_an_error_is_not_permanent(
    status: int, server: FakeRegistry, decoder: Decoder
) -> None:
    number = server.register(SUBJECT, {"schema": TEXT})
    server.broken = status
    value = b"\x00" + number.to_bytes(4, "big") + BODY
    with pytest.raises(RegistryUnavailableError) as away:
        decoder.decode("order.created", value)
    assert not away.value.permanent
    server.broken = 0
    assert decoder.decode("order.created", value) == PAYLOAD


def test_without_a_registry_an_id_is_unknown() -> None:
    with pytest.raises(UnknownSchemaIdError, match="FLOWBRIDGE_SCHEMA_REGISTRY_URL"):
        Decoder(SCHEMAS).decode("order.created", b"\x00\x00\x00\x00\x01" + BODY)


@pytest.mark.parametrize("value", [b"", b"{}", b"\x00\x00", b"\x01short", b"\xc3\x01\x00", b"\xc3\x02" + b"x" * 20])
def test_a_value_without_a_known_prefix_is_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableError):
        Decoder(SCHEMAS).decode("order.created", value)


def test_a_null_value_and_an_unknown_fingerprint_have_errors_of_their_own() -> None:
    with pytest.raises(NullValueError):
        Decoder().decode("order.created", None)
    with pytest.raises(UnknownFingerprintError) as unknown:
        Decoder().decode("order.created", b"\xc3\x01" + bytes(range(8)) + BODY)
    assert unknown.value.fingerprint == "0001020304050607"


def test_each_failure_has_a_kind_for_metrics() -> None:
    kinds = [error.kind for error in DecodeError.__subclasses__()]
    assert sorted(kinds) == sorted(set(kinds))


def test_publishing_with_a_registry_that_is_away_says_so(server: FakeRegistry) -> None:
    server.broken = 500
    with pytest.raises(RegistryUnavailableError):
        Encoder(SCHEMAS, Registry(server.url, config={"max.retries": 0})).encode("order.created", PAYLOAD)
