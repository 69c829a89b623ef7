"""Every framing that docs/sdk.md names is read, and each failure is told apart."""

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from flowbridge_sdk.codec import SCHEMA_ID_HEADER, Decoder, Encoder
from flowbridge_sdk.errors import (
    DecodeError,
    NotRegisteredError,
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


def test_magic_0_is_an_id(server: FakeRegistry, decoder: Decoder) -> None:
    number = server.register(SUBJECT, {"schema": TEXT})
    value = b"\x00" + number.to_bytes(4, "big") + BODY
    assert decoder.decode("order.created", value) == PAYLOAD
    assert decoder.decode("order.created", value) == PAYLOAD
    assert server.requests == 1


def test_magic_1_is_a_guid(server: FakeRegistry, decoder: Decoder) -> None:
    guid = UUID(server.guid(server.register(SUBJECT, {"schema": TEXT}))).bytes
    assert decoder.decode("order.created", b"\x01" + guid + BODY) == PAYLOAD


def test_a_header_may_hold_the_guid_or_the_id(server: FakeRegistry, decoder: Decoder) -> None:
    number = server.register(SUBJECT, {"schema": TEXT})
    guid = UUID(server.guid(number)).bytes
    for framing in (b"\x01" + guid, b"\x00" + number.to_bytes(4, "big")):
        assert decoder.decode("order.created", BODY, [("ce_id", b"1"), (SCHEMA_ID_HEADER, framing)]) == PAYLOAD


def test_a_schema_may_refer_to_another_subject(server: FakeRegistry, decoder: Decoder) -> None:
    server.register("order", {"schema": TEXT})
    outer = json.dumps({"type": "record", "name": "Outer", "fields": [{"name": "order", "type": "Order"}]})
    references = [{"name": "Order", "subject": "order", "version": 1}]
    number = server.register("outer-value", {"schema": outer, "references": references})
    value = b"\x00" + number.to_bytes(4, "big") + BODY
    assert decoder.decode("outer", value) == {"order": PAYLOAD}


def test_an_id_that_the_registry_does_not_know_is_permanent(server: FakeRegistry, decoder: Decoder) -> None:
    for _ in range(3):
        with pytest.raises(UnknownSchemaIdError, match="schema id 77") as unknown:
            decoder.decode("order.created", b"\x00\x00\x00\x00\x4d" + BODY)
    assert unknown.value.permanent
    assert server.requests == 1


def test_an_id_is_asked_for_again_after_a_while(server: FakeRegistry) -> None:
    now = 0.0
    decoder = Decoder(SCHEMAS, Registry(server.url, clock=lambda: now))
    with pytest.raises(UnknownSchemaIdError):
        decoder.decode("order.created", b"\x00\x00\x00\x00\x01" + BODY)
    server.register(SUBJECT, {"schema": TEXT})
    now = 11.0
    assert decoder.decode("order.created", b"\x00\x00\x00\x00\x01" + BODY) == PAYLOAD


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


def test_a_registry_that_is_away_is_not_permanent() -> None:
    with serving() as server:
        url = server.url
    registry = Registry(url, config={"max.retries": 0})
    with pytest.raises(RegistryUnavailableError):
        Decoder(SCHEMAS, registry).decode("order.created", b"\x00\x00\x00\x00\x01" + BODY)


def test_without_a_registry_an_id_is_unknown() -> None:
    with pytest.raises(UnknownSchemaIdError, match="FLOWBRIDGE_SCHEMA_REGISTRY_URL"):
        Decoder(SCHEMAS).decode("order.created", b"\x00\x00\x00\x00\x01" + BODY)


@pytest.mark.parametrize(("kind", "text"), [("JSON", "{}"), ("PROTOBUF", 'syntax = "proto3";')])
def test_a_schema_of_another_kind_is_undecodable(server: FakeRegistry, decoder: Decoder, kind: str, text: str) -> None:
    number = server.register(SUBJECT, {"schema": text, "schemaType": kind})
    with pytest.raises(UndecodableError, match=f"schema id {number} of the registry: is of type {kind}; expected AVRO"):
        decoder.decode("order.created", b"\x00" + number.to_bytes(4, "big") + b"{}")


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


def test_with_a_registry_events_are_written_in_its_framing(server: FakeRegistry) -> None:
    number = server.register(SUBJECT, {"schema": TEXT})
    value = Encoder(SCHEMAS, Registry(server.url)).encode("order.created", PAYLOAD)
    assert value == b"\x00" + number.to_bytes(4, "big") + BODY


def test_a_schema_is_registered_only_when_asked_for(server: FakeRegistry) -> None:
    with pytest.raises(NotRegisteredError, match=r"order\.created\.avsc under order\.created-value"):
        Encoder(SCHEMAS, Registry(server.url)).encode("order.created", PAYLOAD)
    value = Encoder(SCHEMAS, Registry(server.url, auto_register=True)).encode("order.created", PAYLOAD)
    assert value == b"\x00\x00\x00\x00\x01" + BODY


def test_the_registrys_schema_serves_where_the_folder_has_none(server: FakeRegistry) -> None:
    server.register(SUBJECT, {"schema": TEXT})
    encoder = Encoder(None, Registry(server.url))
    assert encoder.encode("order.created", PAYLOAD) == b"\x00\x00\x00\x00\x01" + BODY
    assert encoder.encode("no.schema", PAYLOAD)[:2] == b"\xc3\x01"


def test_publishing_with_a_registry_that_is_away_says_so(server: FakeRegistry) -> None:
    server.broken = 500
    with pytest.raises(RegistryUnavailableError):
        Encoder(SCHEMAS, Registry(server.url, config={"max.retries": 0})).encode("order.created", PAYLOAD)
