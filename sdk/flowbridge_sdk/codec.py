"""Payloads to bytes and back: Avro behind a prefix that names the schema it was written with.

====================================  ==================================================================
the value begins with                 it is
====================================  ==================================================================
``C3 01`` and 8 bytes of fingerprint  Avro single-object encoding, against the schemas given
``00`` and 4 bytes of id              Confluent framing: the schema registry knows the id
``01`` and 16 bytes of GUID           the same with a GUID
(header ``__value_schema_id``)        either of the last two, in a header instead of before the value
anything else                         JSON, where the header ``content-type`` or a setting says so
====================================  ==================================================================

Decoding finds its reader by the prefix alone in one look-up; it runs for every event that the bridge consumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from flowbridge_sdk.avro.logical import UnreadableError
from flowbridge_sdk.avro.misfit import MisfitError
from flowbridge_sdk.errors import (
    CONTENT_TYPES,
    BadPayloadError,
    DecodeError,
    NullValueError,
    RefusedError,
    SchemaError,
    TooLargeError,
    UndecodableError,
    UnknownFingerprintError,
    UnknownSchemaIdError,
)
from flowbridge_sdk.payloads.json_values import JsonTopics, is_json, json_payload
from flowbridge_sdk.schemas import GENERIC, EventSchemas
from flowbridge_sdk.topics import name_of, topic_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowbridge_sdk.avro.encoding import Write
    from flowbridge_sdk.avro.reading import Read
    from flowbridge_sdk.headers import Headers
    from flowbridge_sdk.models.typed import EventType
    from flowbridge_sdk.registry import Registry

PAYLOAD_LIMIT = 1 << 20
"""Bytes of an encoded payload, its prefix left out."""

SCHEMA_ID_HEADER = "__value_schema_id"

SINGLE_OBJECT = b"\xc3\x01"
"""What a value in single-object encoding begins with."""

_SINGLE_PREFIX = 10
_ID_PREFIX = 5
_GUID_PREFIX = 17
_NO_ID = b"\0\0\0\0"  # no registry gives this id

_STRUCTURED = "application/cloudevents"
_AVRO = ("application/avro", "avro/binary", "application/octet-stream")  # what says no more than that bytes come
_EXPECTED = "expected Avro behind a single-object prefix (c301…) or a schema registry's (00… or 01…)"


class Decoder:
    """Reads the payloads of events.

    Args:
        schemas: The typed schemas; the generic one is always known.
        registry: The schema registry, where there is one.
        json_topics: Topics whose values are bare JSON; ``BEGINNING*`` stands for many.

    Raises:
        SettingsError: One of ``json_topics`` is no topic.

    """

    def __init__(
        self,
        schemas: EventSchemas | None = None,
        registry: Registry | None = None,
        json_topics: Iterable[str] = (),
    ) -> None:
        self._json_topics = JsonTopics(json_topics)
        known = schemas or EventSchemas.of(())
        self._broken = known.broken
        self._single: dict[bytes, Read] = {
            SINGLE_OBJECT + fingerprint: schema.read for fingerprint, schema in known.every.items()
        }
        self._registered: dict[bytes, Read] = {}
        self._registry = registry

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Return the fingerprints of the schemas that are known without a registry."""
        return frozenset(prefix[2:] for prefix in self._single)

    def decode(self, topic: str, value: bytes | None, headers: Headers | None = None) -> dict[str, Any]:
        """Return the payload of a record.

        Args:
            topic: The record's topic.
            value: The record's value.
            headers: The record's headers; one of them may name the schema.

        Raises:
            DecodeError: One of its kinds; ``permanent`` says whether another try can help.

        """
        if value is None:
            raise NullValueError(f"a record of {topic} has no value")
        start = _SINGLE_PREFIX
        read = self._single.get(value[:_SINGLE_PREFIX])
        if read is None:
            read, start = self._framed(topic, value, headers)
            if read is None:
                return json_payload(topic, value)
        try:
            payload, end = read(value, start, 0)
        except Exception as error:
            problem = "the message ends too early" if isinstance(error, IndexError) else str(error)
            if not isinstance(error, UnreadableError | IndexError | ValueError):  # the schema breaks its reader
                problem = f"{type(error).__name__}: {error}"
            raise UndecodableError(f"a record of {topic} is not what its schema says: {problem}") from error
        if end != len(value):
            raise UndecodableError(f"a record of {topic} has {len(value) - end} bytes behind its end")
        return payload  # type: ignore[no-any-return] # schemas.EventSchema.parse admits records and maps only

    def _framed(self, topic: str, value: bytes, headers: Headers | None) -> tuple[Read | None, int]:
        """Return the reader of the value, and the position at which it begins; None for JSON."""
        for name, content in headers or ():
            if name == SCHEMA_ID_HEADER and content:
                return self._by_prefix(topic, content, whole=True), 0
        magic = value[:1]
        if magic == b"\x00" and value[1:_ID_PREFIX] != _NO_ID:
            return self._by_prefix(topic, value[:_ID_PREFIX]), _ID_PREFIX
        if magic == b"\x01":
            return self._by_prefix(topic, value[:_GUID_PREFIX]), _GUID_PREFIX
        if value[:2] == SINGLE_OBJECT and len(value) >= _SINGLE_PREFIX:
            raise UnknownFingerprintError(value[2:_SINGLE_PREFIX], self._broken.get(name_of(topic)))
        if is_json(headers, otherwise=topic in self._json_topics):
            return None, 0
        raise UndecodableError(f"a record of {topic} {_foreign_framing(topic, value, headers)}")

    def _by_prefix(self, topic: str, prefix: bytes, *, whole: bool = False) -> Read:
        """Return the reader of the registry's schema with the id in a prefix, which in a header is the whole value."""
        read = self._registered.get(prefix)
        if read is not None:
            return read
        by_number = prefix[0] == 0
        if len(prefix) != (_ID_PREFIX if by_number else _GUID_PREFIX) or prefix[0] > 1:
            place = f"header {SCHEMA_ID_HEADER}" if whole else "value"
            raise UndecodableError(f"a record of {topic} has a {place} that holds no whole schema id")
        schema_id = int.from_bytes(prefix[1:], "big") if by_number else str(UUID(bytes=prefix[1:]))
        if self._registry is None:
            raise UnknownSchemaIdError(
                str(schema_id), "there is no schema registry; set FLOWBRIDGE_SCHEMA_REGISTRY_URL"
            )
        try:
            read = self._registered[prefix] = self._registry.schema(schema_id).read
        except DecodeError:
            raise
        except SchemaError as error:
            raise UndecodableError(f"a record of {topic}: {error}") from error
        except Exception as error:  # a schema that breaks its compiler is a fault of the events that name it
            raise UndecodableError(f"a record of {topic}: schema id {schema_id}: {error!r}") from error
        return read


def fingerprint_in(value: bytes | None) -> bytes | None:
    """Return the fingerprint at the beginning of a value in single-object encoding; None for another value."""
    return value[2:_SINGLE_PREFIX] if value and value[:2] == SINGLE_OBJECT and len(value) >= _SINGLE_PREFIX else None


def is_framed(value: bytes) -> bool:
    """Return whether a value begins with the prefix of single-object encoding or with a schema id of 4 bytes."""
    return value[:2] == SINGLE_OBJECT or (value[:1] == b"\0" and value[1:_ID_PREFIX] != _NO_ID)


def _foreign_framing(topic: str, value: bytes, headers: Headers | None) -> str:
    """Return what a value that is in no framing of an event looks like, and what to do, as a part of a sentence."""
    content_type = next((content for name, content in headers or () if name.lower() == "content-type" and content), b"")
    media = content_type.decode("latin-1").partition(";")[0].strip().lower()
    if media.startswith(_STRUCTURED):
        return f"is a structured CloudEvent (content-type {media[:80]}); read it whole, with read_structured"
    if media not in ("", *_AVRO):
        return f"has the content-type {media[:80]}, which is not read; these content types are: {CONTENT_TYPES}"
    if value[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return (
            "has no Avro: this looks like JSON; publish it with the header content-type: application/json, "
            f"or name the topic in the setting json_topics (FLOWBRIDGE_JSON_TOPICS={topic})"
        )
    if value[:4] == b"Obj\x01":
        return (
            f"is an Avro file with its schema in front; {_EXPECTED}: one event in a record, without the file's header"
        )
    if value[:2] in (b"\x03\x00", b"\x03\x05"):
        return f"looks like AWS Glue's framing (03, compression, 16 bytes of id); {_EXPECTED}"
    if value[1:5] == _NO_ID and value[:1] == b"\0":
        return (
            "has zeros where a schema id of 4 bytes should be, and looks like an id of 8 bytes, as Apicurio's "
            "serializers write by default before version 3; let them write Confluent's ids of 4 bytes"
        )
    return f"begins with {value[:4].hex() or 'nothing'}; {_EXPECTED}"


class Encoder:
    """Writes the payloads of events.

    With a registry, an event is written in Confluent framing. If the folder has a schema for it, that one is used, and
    must be registered under ``TOPIC-value`` (``auto_register`` of the registry does so). Otherwise the latest schema of
    that subject is used, or the generic schema if there is none. Without a registry, events are written in
    single-object encoding.

    Args:
        schemas: The typed schemas.
        registry: The schema registry, where there is one.

    """

    def __init__(self, schemas: EventSchemas | None = None, registry: Registry | None = None) -> None:
        self._schemas = schemas or EventSchemas.of(())
        self._registry = registry
        self._formats: dict[str | EventType[Any], tuple[bytes, Write]] = {}

    def knows(self, event: str | EventType[Any]) -> bool:
        """Return whether it has encoded an event of this name or type, and has its schema."""
        return event in self._formats

    def encode(self, event: str | EventType[Any], payload: object) -> bytes:
        """Return the value of the record that carries ``payload`` in an event.

        Args:
            event: The event's name, or its type.
            payload: Its payload.

        Raises:
            RefusedError: The payload cannot be sent; the error names the field.
            SchemaError: The schema of the type is not the one that the folder has for its name.
            NotRegisteredError: The registry does not hold the event's schema.
            RegistryUnavailableError: It does not answer.

        """
        form = self._formats.get(event)
        if form is None:
            form = self._formats[event] = self._form(event)
        prefix, write = form
        out = bytearray(prefix)
        try:
            write(out, payload, 0)
        except MisfitError as misfit:
            raise BadPayloadError(_name(event), misfit.where(), misfit.found, misfit.expected) from None
        except RuntimeError as error:  # a mapping that changes while it is read, or a RecursionError
            raise RefusedError(f"event {_name(event)!r}: its payload cannot be read: {error}") from error
        if len(out) - len(prefix) > PAYLOAD_LIMIT:
            raise TooLargeError(_name(event), len(out) - len(prefix), PAYLOAD_LIMIT)
        return bytes(out)

    def _form(self, event: str | EventType[Any]) -> tuple[bytes, Write]:
        """Return the prefix of an event's values, and the writer of its payloads."""
        name, own = _name(event), None if isinstance(event, str) else event
        schema, registered = self._schemas.current.get(name), None
        if own is not None:
            if schema is not None:  # it must write the same bytes, and mean the same by them
                from flowbridge_sdk.avro.changes import changes  # noqa: PLC0415 - for the first event of a type alone

                found = [str(change) for change in changes(schema, own.schema) if change.matters]
                if found:
                    shown = "; ".join(found[:5]) + ("; ..." if len(found) > 5 else "")  # noqa: PLR2004
                    raise SchemaError(
                        schema.where,
                        f"differs from {own.schema.where}, which the event {schema.name!r} is published with: {shown}. "
                        "Write the file again (flowbridge schema infer), or publish with what it says",
                    )
            schema = own.schema
        if self._registry is not None:
            registered = self._registry.writing(f"{topic_of(name)}-value", name, schema)
        if registered:
            schema_id, schema = registered
            prefix = b"\x00" + schema_id.to_bytes(4, "big")
        else:
            schema = schema or GENERIC
            if not schema.fingerprint:
                raise SchemaError(schema.where, "refers to other schemas; the publisher needs their registry")
            prefix = SINGLE_OBJECT + schema.fingerprint
        return prefix, schema.write if own is None else own.write


def _name(event: str | EventType[Any]) -> str:
    return event if isinstance(event, str) else event.name
