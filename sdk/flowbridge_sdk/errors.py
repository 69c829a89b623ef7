"""Every error of the SDK on one page, with its meaning and its remedy.

FlowbridgeError
├── SettingsError              the publisher's settings are wrong or missing
├── SchemaError                an Avro schema cannot be used; names its file
├── RefusedError               this event was refused before it was sent; correct it
│   ├── BadNameError           its name cannot be a topic's
│   ├── BadAttributeError      its id, key, source or time is unusable
│   ├── BadPayloadError        a field of its payload cannot be sent; names the field
│   ├── TooLargeError          its payload is over 1 MiB
│   └── UnknownRunError        the run of a job, which its event's id is made from, is not known; pass it
├── PublishError               events could not be sent
│   ├── NotConnectedError      no broker answered when the publisher was made, where that was asked for
│   ├── BufferFullError        no room came free within the delivery timeout
│   ├── NotDeliveredError      flush or close: these events did not arrive
│   └── ClosedError            the publisher is closed
├── NotRegisteredError         the registry does not hold this schema under the subject
└── DecodeError                a record is no event that can be read; says whether that is permanent
    ├── NullValueError         it has no value
    ├── UndecodableError       its bytes are not what its schema says
    ├── BadHeaderError         one of its CloudEvents headers is unusable
    ├── BadCloudEventError     its value is a whole CloudEvent, of which something is unusable
    ├── UnreadContentTypeError  it is of a content type that is not read
    ├── UnknownFingerprintError  no schema known has its fingerprint; one may appear
    ├── UnknownSchemaIdError   the registry does not know its schema's id
    └── RegistryUnavailableError  the registry did not answer; try again (when publishing, too)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


CONTENT_TYPES = (
    "application/avro (behind a prefix that names the schema), application/json and others that end in /json or +json, "
    "application/cloudevents+json, application/cloudevents+avro"
)
"""The content types of records that are read, for errors."""


class FlowbridgeError(Exception):
    """The base of all errors that the SDK raises."""


class SettingsError(FlowbridgeError, ValueError):
    """The publisher's settings are wrong or missing."""


class SchemaError(FlowbridgeError, ValueError):
    """An Avro schema that cannot be used.

    Attributes:
        where: The file, or another source of the schema.
        problem: Its fault.

    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class RefusedError(FlowbridgeError, ValueError):
    """An event that was refused before it was sent."""


class BadNameError(RefusedError):
    """An event name that cannot be a topic's."""


class BadAttributeError(RefusedError):
    """An id, key, source or time of an event that cannot be sent."""


class BadPayloadError(RefusedError):
    """A field of a payload that cannot be sent.

    Attributes:
        event: The event's name; empty if it is not known.
        path: The field, as in ``order.lines[3].price``; empty for the payload as a whole.
        found: The value that was found, described.
        right: The expected value, described.

    """

    def __init__(self, event: str, path: str, found: str, right: str) -> None:
        field = f"field {path}" if path else "the payload"
        super().__init__(f"event {event!r}, {field}: found {found}; {right}")
        self.event = event
        self.path = path
        self.found = found
        self.right = right


class TooLargeError(RefusedError):
    """A payload of more than 1 MiB when encoded."""

    def __init__(self, event: str, size: int, limit: int) -> None:
        super().__init__(
            f"event {event!r}: its payload takes {size} bytes when encoded, and {limit} is the limit; "
            "store the data elsewhere and publish where it lies",
        )
        self.event = event
        self.size = size


class UnknownRunError(RefusedError):
    """A job's event without a run that a repeat of the job would have, too."""


class PublishError(FlowbridgeError):
    """Events that could not be sent."""


class NotConnectedError(PublishError):
    """No broker answered within the time in which the publisher was to be connected."""


class BufferFullError(PublishError):
    """The buffer stayed full for the whole delivery timeout; this event was not taken."""


class ClosedError(PublishError):
    """The publisher is closed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that was not delivered.

    Attributes:
        name: The event's name.
        id: The event's id; empty if many were published at once.
        topic: The topic that it was meant for.
        reason: The message of the broker or the client, with a remedy if one is known.

    """

    name: str
    id: str
    topic: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.id}: {self.reason}" if self.id else f"{self.name}: {self.reason}"


class NotDeliveredError(PublishError):
    """Events that were published and did not arrive.

    Attributes:
        failures: The first of those that failed, at most 100.
        failed: How many failed in all.
        waiting: How many were still in the buffer when the time was over. They may yet arrive.

    """

    def __init__(self, failures: Sequence[Failure], failed: int, waiting: int) -> None:
        lines = [f"{failed} events were not delivered, {waiting} are still in the buffer"]
        lines += dict.fromkeys(f"  {failure}" for failure in failures)  # without ids many are the same
        if failed > len(failures):
            lines.append(f"  … and {failed - len(failures)} more")
        super().__init__("\n".join(lines))
        self.failures = tuple(failures)
        self.failed = failed
        self.waiting = waiting


class NotRegisteredError(FlowbridgeError):
    """A schema that the registry does not hold under the event's subject."""


class DecodeError(FlowbridgeError):
    """A record that cannot be read as an event.

    Attributes:
        permanent: Whether another try, with the same schemas, must end the same way.
        kind: A short name for metrics and dead letters.

    """

    permanent = True
    kind = "undecodable"


class UndecodableError(DecodeError):
    """Bytes that do not follow their schema, or no framing that is known."""


class NullValueError(DecodeError):
    """A record without a value."""

    kind = "null-value"


class BadHeaderError(DecodeError):
    """A CloudEvents header that cannot be used.

    Attributes:
        header: The header's name.

    """

    kind = "bad-header"

    def __init__(self, header: str, problem: str) -> None:
        super().__init__(f"header {header}: {problem}")
        self.header = header


class BadCloudEventError(DecodeError):
    """A whole CloudEvent (structured mode) that cannot be used; the text names the attribute."""

    kind = "bad-cloudevent"


class UnreadContentTypeError(DecodeError):
    """A content type that is not read. The text lists those that are.

    Attributes:
        found: The header or attribute with what it says.

    """

    kind = "content-type"

    def __init__(self, found: str, read: str = CONTENT_TYPES) -> None:
        super().__init__(f"{found} is not read; these content types are: {read}")
        self.found = found


class UnknownFingerprintError(DecodeError):
    """A single-object value whose schema is not among those given; one may be added later.

    Attributes:
        fingerprint: The eight bytes as on the wire (little endian), in hex.

    """

    kind = "unknown-fingerprint"

    def __init__(self, fingerprint: bytes, broken: str | None = None) -> None:
        remedy = f"the one of this name cannot be used: {broken}" if broken else "add it to the folder of schemas"
        super().__init__(
            f"no schema with the fingerprint {fingerprint.hex()} is known, and the publisher has it; {remedy}"
        )
        self.fingerprint = fingerprint.hex()


class UnknownSchemaIdError(DecodeError):
    """A schema id or GUID that the registry answers for, but does not know.

    Attributes:
        schema_id: The number or GUID, as text.

    """

    kind = "unknown-schema-id"

    def __init__(self, schema_id: str, problem: str = "the schema registry does not know it") -> None:
        super().__init__(f"schema id {schema_id}: {problem}")
        self.schema_id = schema_id


class RegistryUnavailableError(DecodeError):
    """The schema registry did not answer, or not sensibly: hold the events that need it, and try again."""

    permanent = False
    kind = "registry-unavailable"
