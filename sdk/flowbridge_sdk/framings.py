"""Values that are in no framing of an event: what they look like, and what to do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowbridge_sdk.headers import Headers

NO_ID = b"\0\0\0\0"
"""Four bytes where a registry's id should be; no registry gives it."""

_STRUCTURED = b"application/cloudevents"
_EXPECTED = "expected Avro behind a single-object prefix (c301…) or a schema registry's (00… or 01…)"


def seen(topic: str, value: bytes, headers: Headers | None) -> str:
    """Return what a value without the framing of an event looks like, and what to do, as a part of a sentence."""
    content_type = next((content for name, content in headers or () if name.lower() == "content-type" and content), b"")
    if content_type.strip().lower().startswith(_STRUCTURED):
        media = content_type[:80].decode(errors="replace")
        return (
            f"is a structured CloudEvent (content-type {media}); send it in binary mode: "
            "the attributes as headers ce_id, ce_source, ce_type and ce_time, the data as the value"
        )
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
    if value[1:5] == NO_ID and value[:1] == b"\0":
        return (
            "has zeros where a schema id of 4 bytes should be, and looks like an id of 8 bytes, as Apicurio's "
            "serializers write by default before version 3; let them write Confluent's ids of 4 bytes"
        )
    return f"begins with {value[:4].hex() or 'nothing'}; {_EXPECTED}"
