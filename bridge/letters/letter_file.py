"""The file of dead letters: JSON lines, one letter a line, in UTF-8.

The bytes of a record are kept exactly, in base64. The fields ``letter``, ``state``, ``marks`` and ``payload`` are for
people and for ``jq``, and are not read again.

==================  ===============================================================================================
field               meaning
==================  ===============================================================================================
``format``          1
``letter``          where the letter was: PARTITION/OFFSET
``state``           what became of it
``marks``           what was done with it: by whom, when and why
``stage``           the stage that wrote it
``reason``          why
``text``            what was wrong
``triggers``        the triggers that it concerns
``run_key``         the run that it is about; empty for a record
``at``              when it was written, RFC 3339 in UTC
``at_us``           the same in microseconds since the epoch
``topic``           topic of the record; empty for a run
``partition``       its partition
``offset``          its offset
``timestamp``       its timestamp, milliseconds since the epoch
``key_base64``      its key, or null
``value_base64``    its value, or null
``headers``         a list of ``name`` and ``value_base64``
``payload``         the decoded payload, where it can be decoded; sensitive fields are redacted
==================  ===============================================================================================
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from bridge.core.event import time_text
from bridge.kafka.log import Record
from bridge.letters.letter import Letter

FORMAT = 1

_TEXTS = ("stage", "reason", "text", "run_key", "topic")
_NUMBERS = ("at_us", "partition", "offset", "timestamp")
_NUMBER_LIMIT = 2**63


class LetterFileError(ValueError):
    """A line is no letter.

    Attributes:
        line: Its number, from 1.
        found: What it has, and what is expected.

    """

    def __init__(self, line: int, found: str) -> None:
        super().__init__(f"line {line}: {found}")
        self.line = line
        self.found = found


def line_of(letter: Letter, payload: Any) -> str:
    """Return the line of a letter, without its end.

    Args:
        letter: The letter.
        payload: Its payload for people; None for none.

    """
    record = letter.record
    fields = {
        "format": FORMAT,
        "letter": letter.name,
        "state": letter.state.value,
        "marks": marks_of(letter),
        "stage": letter.stage,
        "reason": letter.reason,
        "text": letter.text,
        "triggers": list(letter.triggers),
        "run_key": letter.run_key,
        "at": time_text(letter.at),
        "at_us": letter.at,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key_base64": _encoded(record.key),
        "value_base64": _encoded(record.value),
        "headers": [{"name": name, "value_base64": _encoded(value)} for name, value in record.headers],
        "payload": payload,
    }
    return json.dumps(fields, ensure_ascii=False, default=str)


def marks_of(letter: Letter) -> list[dict[str, str]]:
    """Return what was done with a letter as plain values."""
    return [
        {
            "cause": mark.cause.value,
            "by": mark.by,
            "at": time_text(mark.at),
            "why": mark.why,
            "successor": mark.successor,
        }
        for mark in letter.marks
    ]


def letters_of(lines: Iterable[bytes]) -> Iterator[Letter]:
    """Yield the letters of the lines of a file; blank lines are left out. Their places are lost.

    Raises:
        LetterFileError: A line is no letter.

    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LetterFileError(number, f"expected a JSON object, found no JSON ({error})") from None
        if not isinstance(fields, dict):
            raise LetterFileError(number, f"expected a JSON object, found {type(fields).__name__}")
        if fields.get("format") != FORMAT:
            raise LetterFileError(number, f"expected format {FORMAT}, found {fields.get('format')!r}")
        yield _letter(number, fields)


def _letter(line: int, fields: dict[str, Any]) -> Letter:
    for name in _TEXTS:
        if not isinstance(fields.get(name), str):
            raise LetterFileError(line, f"{name}: expected a text, found {fields.get(name)!r}")
    for name in _NUMBERS:
        value = fields.get(name)
        if type(value) is not int or not -_NUMBER_LIMIT <= value < _NUMBER_LIMIT:
            raise LetterFileError(line, f"{name}: expected a whole number of 64 bits, found {value!r}")
    if not -(2**31) <= fields["partition"] < 2**31:
        raise LetterFileError(line, f"partition: expected a whole number of 32 bits, found {fields['partition']}")
    triggers, headers = fields.get("triggers"), fields.get("headers")
    if not isinstance(triggers, list) or not all(isinstance(trigger, str) for trigger in triggers):
        raise LetterFileError(line, f"triggers: expected a list of texts, found {triggers!r}")
    if not isinstance(headers, list) or not all(
        isinstance(header, dict) and isinstance(header.get("name"), str) for header in headers
    ):
        raise LetterFileError(
            line, f"headers: expected a list of objects with name and value_base64, found {headers!r}"
        )
    if not (fields["topic"] or fields["run_key"]):
        raise LetterFileError(line, "topic and run_key: expected one of them, found both empty")
    for name in (*_TEXTS, "triggers", "headers"):
        try:
            json.dumps(fields[name], ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise LetterFileError(
                line, f"{name}: expected Unicode, found half a character (a lone surrogate)"
            ) from None
    record = Record(
        fields["topic"],
        fields["partition"],
        fields["offset"],
        fields["timestamp"],
        _decoded(line, "key_base64", fields.get("key_base64")),
        _decoded(line, "value_base64", fields.get("value_base64")),
        [
            (header["name"], _decoded(line, f"headers.{header['name']}", header.get("value_base64")) or b"")
            for header in headers
        ],
    )
    return Letter(
        (-1, -1),
        fields["stage"],
        fields["reason"],
        fields["text"],
        tuple(triggers),
        fields["run_key"],
        fields["at_us"],
        record,
    )


def _encoded(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _decoded(line: int, name: str, value: object) -> bytes | None:
    if value is None:
        return None
    try:
        return b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise LetterFileError(line, f"{name}: expected base64 or null, found {str(value)[:60]!r}") from None
