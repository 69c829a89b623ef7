"""The encoding of internal records: one Avro schema for each kind, from ``schemas/``, in single-object encoding.

Each value begins with C3 01 and the CRC-64-AVRO fingerprint of the schema that wrote it, so a record tells its kind
and its format. Schemas of older formats stay in ``schemas/older/NAME.FORMAT.avsc``, and their records are read into
today's shape. A record with an unknown fingerprint was written by a newer Flowbridge. It is refused, never guessed.

A format that is newer than version 0.1.0 names the first version that reads it (:class:`Kind`). Its records carry that
version in a header, so the error of an older process names the version to upgrade to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

import bridge
from bridge.kafka.avro import source
from bridge.kafka.log import LARGEST_RECORD

if TYPE_CHECKING:
    from bridge.kafka.log import Headers

SENT_LIMIT = LARGEST_RECORD // 2
"""Bytes of a run or an arrival when it is sent, so that later stages can keep it whole, with its identity as a key."""

VERSION_HEADER = "flowbridge-version"
"""Header of a record whose format is newer than 0.1.0: the first version that reads it."""

_MAGIC = b"\xc3\x01"
_PREFIX = 10  # bytes: the magic and the fingerprint


class RecordError(ValueError):
    """A record of ours that cannot be read."""


class NewerFormatError(RecordError):
    """A record has a format that this version does not know. A decision without it would rest on half of the state."""

    def __init__(self, prefix: bytes) -> None:
        super().__init__(
            f"a record has format {prefix[2:].hex() or 'none'}, which this version of Flowbridge does not know: "
            "it was written by a newer version (upgrade this process), or it is none of ours",
        )


class UnwritableError(ValueError):
    """A record that no reader could decode, so it is not written."""


class UnreadableRecordError(RecordError):
    """A record of ours has a newer format. The process stops before it commits anything that depends on the record."""

    def __init__(
        self, place: tuple[str, int, int], headers: Sequence[tuple[str, bytes | None]], error: Exception
    ) -> None:
        topic, partition, offset = place
        version = (dict(headers).get(VERSION_HEADER) or b"").decode(errors="replace")
        needed = f"version {version} or later" if version else "the newest version that runs here"
        super().__init__(
            f"the record at {topic}/{partition}, offset {offset}, cannot be read by version {bridge.__version__}: "
            f"{error}. Upgrade this process to {needed}. It has committed nothing that depends on it"
        )


class _Writer(NamedTuple):
    kind: str
    schema: Any


_SINCE: dict[bytes, Headers] = {}  # the headers of formats that are newer than 0.1.0


def headers_of(value: bytes | None) -> Headers | None:
    """Return the headers that a record of ours carries for its format; None for none."""
    return _SINCE.get(value[:_PREFIX]) if _SINCE and value is not None else None


class Kind:
    """One kind of record: encodes, and decodes what any format up to today's wrote.

    Args:
        name: The schema's file name without its ending.
        since: The first version that reads today's format; empty for formats of 0.1.0.

    Attributes:
        name: The schema's file name without its ending.
        schema: Today's schema, parsed.
        prefix: The ten bytes with which each record of today's format begins.

    """

    def __init__(self, name: str, since: str = "") -> None:
        self.name = name
        self.schema = _load(schemas_folder() / f"{name}.avsc")
        self.prefix = _prefix(self.schema)
        if since:
            _SINCE[self.prefix] = ((VERSION_HEADER, since.encode()),)
        self._write = source.writer(self.schema)
        self._read_todays = source.reader(self.schema)

    def encode(self, fields: dict[str, Any]) -> bytes:
        """Return the record's bytes.

        Raises:
            UnwritableError: A number takes more bits than its field has.

        """
        try:
            return self._write(fields, self.prefix)
        except OverflowError as error:
            raise self._unwritable(error) from error

    def value_encoder(self, *repeated: str, moments: tuple[str, str] | None = None) -> Callable[..., bytes]:
        """Return a faster encoder, which takes the values of all fields in the order of the schema; it raises the same.

        The records in an array are tuples of values, and a map is a sequence of pairs.

        Args:
            repeated: Fields of text or bytes that many records have in common, by the path to them.
            moments: Two fields that are nearly always microseconds since the epoch, which are written together.

        """
        return source.value_writer(self.schema, self.prefix, self._unwritable, repeated, moments or ())

    def decode(self, value: bytes) -> dict[str, Any]:
        """Return the record's fields.

        Raises:
            NewerFormatError: Written in a format that this version does not know.
            RecordError: The bytes are of another kind, or cut short.

        """
        if value.startswith(self.prefix):
            try:
                return self._read_todays(value, _PREFIX)
            except (ValueError, IndexError) as error:
                raise self._damaged(error) from error
        writer = _writer(value[:_PREFIX])
        if writer.kind != self.name:
            raise RecordError(f"expected a record of kind {self.name}, found {writer.kind}")
        body = BytesIO(value)
        body.seek(_PREFIX)
        try:
            fields = fastavro.schemaless_reader(body, writer.schema, self.schema)
        except (EOFError, ValueError, IndexError) as error:
            raise self._damaged(error) from error
        return fields  # type: ignore[return-value]  # a record schema always reads into a dict

    def only(self, *names: str, moments: tuple[str, str] | None = None) -> Callable[[bytes], tuple[Any, ...]]:
        """Return a decoder of some of a record's fields, in the order of their names; it raises as :meth:`decode`.

        Args:
            names: The fields.
            moments: Two fields, one behind the other in the schema, that are nearly always microseconds since the
                epoch. They are read together.

        """

        def decode(value: bytes) -> tuple[Any, ...]:
            fields = self.decode(value)
            return tuple(fields[name] for name in names)

        return source.picker(self.schema, names, self.prefix, decode, self._damaged, moments or ())

    def _unwritable(self, error: OverflowError) -> UnwritableError:
        return UnwritableError(f"a record of kind {self.name} cannot be written: {error}")

    def _damaged(self, error: Exception) -> RecordError:
        return RecordError(f"a record of kind {self.name} is damaged: {error or 'it is cut short'}")


def kind_of(value: bytes) -> str:
    """Return the kind of a record.

    Raises:
        NewerFormatError: Written in a format that this version does not know.

    """
    return _writer(value[:_PREFIX]).kind


def schemas_folder() -> Path:
    """Return the folder of our schemas: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


@cache
def _writer(prefix: bytes) -> _Writer:
    writer = _writers().get(prefix)
    if not prefix.startswith(_MAGIC) or len(prefix) < _PREFIX:
        raise RecordError(f"a record begins with {prefix.hex() or 'nothing'}: it is none of ours, or it is cut short")
    if writer is None:
        raise NewerFormatError(prefix)
    return writer


@cache
def _writers() -> dict[bytes, _Writer]:
    folder = schemas_folder()
    writers = {}
    for path in (*sorted(folder.glob("*.avsc")), *sorted(folder.glob("older/*.avsc"))):
        schema = _load(path)
        writers[_prefix(schema)] = _Writer(path.name.split(".")[0], schema)
    return writers


@cache
def _load(path: Path) -> Any:
    return parse_schema(json.loads(path.read_text(encoding="utf-8")))


def _prefix(schema: Any) -> bytes:
    # fastavro prints the fingerprint's bytes in the order in which single-object encoding wants them
    return _MAGIC + bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


ARRIVAL = Kind("arrival")
NAMED_ARRIVAL = Kind("named_arrival", since="0.2.0")
TRACED_ARRIVAL = Kind("traced_arrival", since="0.2.0")
TICK = Kind("tick")
WAITING = Kind("waiting")
SPENT = Kind("spent")
PENDING = Kind("pending")
FIRED = Kind("fired")
CLOCK = Kind("clock")
RETIRING = Kind("retiring")
RUN = Kind("run")
RUN_PLAN = Kind("run_plan")
REPLAYED_RUN = Kind("replayed_run", since="0.2.0")
TRACED_RUN = Kind("traced_run", since="0.2.0")
RUN_FACTS = Kind("run_facts")
CREATED_RUN = Kind("created_run")
REPLAY = Kind("replay")
ORDER = Kind("order", since="0.2.0")
LEDGER_ENTRY = Kind("ledger_entry")
DEFINITION = Kind("definition")
IN_FORCE = Kind("in_force")
START = Kind("start")
SOURCE_ERRORS = Kind("source_errors")
DEAD_LETTER = Kind("dead_letter")
SENT_BACK = Kind("sent_back", since="0.2.0")
DECISION = Kind("decision")
