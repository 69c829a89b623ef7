"""``flowbridge publish``: one event from the command line, or one for each line of standard input.

The SDK makes and sends events. This module turns arguments into payloads, and the SDK's errors into ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import click

from bridge.cli.output import Output, output_option
from bridge.cli.setting_options import settings_options
from bridge.core.duration import DurationError, parse_duration
from bridge.errors import EventRefusedError, NotPublishedError, RegistryUnreachableError, SchemasError, UsageError
from bridge.settings.settings import Settings
from bridge.settings.values import Group

if TYPE_CHECKING:
    from flowbridge_sdk import Publisher
    from flowbridge_sdk.registry import Registry

_LINES = "-"
_QUIET = {"log_level": "0"}  # librdkafka would repeat on stderr, many times, what the error says once
_BATCH = 500  # events between two waits for acknowledgement
_LEAST_TIMEOUT = timedelta(seconds=1)


@dataclass(frozen=True)
class Attributes:
    """Attributes that every published event has by the options."""

    key: str | None
    id: str | None
    time: datetime | None
    source: str | None


_EXAMPLES = """\b
Examples:
  flowbridge publish order.created order_id=o-1 amount:=12.5 --key c-7
  flowbridge publish order.created - --key c-7 < orders.jsonl
"""


@click.command("publish", epilog=_EXAMPLES)
@click.argument("name")
@click.argument("fields", nargs=-1, metavar="[FIELD=TEXT | FIELD:=JSON]... | -")
@click.option("--key", metavar="KEY", help="The event's key: events of one key stay in order.")
@click.option(
    "--id",
    "event_id",
    metavar="ID",
    help="The event's id; a repeat of name, source and id is a duplicate. Else a random one.",
)
@click.option(
    "--time", "moment", metavar="TIME", help="When it happened, in ISO 8601; UTC if it names no zone. Else now."
)
@click.option(
    "--source",
    metavar="SOURCE",
    help="Value of the event's attribute source.  [FLOWBRIDGE_SOURCE; default: flowbridge-sdk]",
)
@click.option(
    "--timeout", metavar="DURATION", default="30s", show_default=True, help="How long Kafka may take to acknowledge."
)
@settings_options(Group.KAFKA, "schemas", "schema_registry_url", "shared_topics")
@output_option
def publish(
    *,
    name: str,
    fields: tuple[str, ...],
    key: str | None,
    event_id: str | None,
    moment: str | None,
    source: str | None,
    timeout: str,
    settings: Settings,
    output: Output,
) -> None:
    """Publish the event NAME and wait until Kafka has acknowledged it.

    The payload is made of the fields: FIELD=TEXT is a text, FIELD:=JSON any JSON value. With - instead, each line of
    standard input is a JSON object, the payload of one event.
    """
    time = None
    if moment is not None:
        try:
            time = datetime.fromisoformat(moment)
        except ValueError:
            raise UsageError(f"--time: found {moment!r}", "write 2026-01-31T12:00:00Z") from None
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
    payloads: Iterable[dict[str, Any]]
    if _LINES not in fields:
        payloads = [payload_of(fields)]
    elif len(fields) > 1:
        raise UsageError("- and fields together", "give fields for one event, or - alone to read lines of JSON")
    elif event_id is not None:
        raise UsageError("--id for several events", "leave --id out with -: events with one id are one event")
    else:
        payloads = payloads_of(sys.stdin.buffer)
    attributes = Attributes(key, event_id, time, source)
    with _publishing(settings, timeout) as publisher:
        for identity in _published(publisher, name, payloads, attributes):
            output.result(f"published {name} {identity}", {"event": name, "id": identity})


def payload_of(fields: Sequence[str]) -> dict[str, Any]:
    """Return the payload that ``FIELD=TEXT`` and ``FIELD:=JSON`` make.

    Raises:
        UsageError: A text is neither, or a field comes twice.

    """
    payload: dict[str, Any] = {}
    for text in fields:
        name, equals, value = text.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise UsageError(f"{text!r} is no field", "write FIELD=TEXT or FIELD:=JSON, or - to read lines of JSON")
        if name in payload:
            raise UsageError(f"the field {name!r} comes twice", "give each field once; a list is FIELD:='[1, 2]'")
        payload[name] = _json(value, f"the field {name!r}") if is_json else value
    return payload


def payloads_of(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Return the payload of each line (UTF-8) that is not blank.

    Raises:
        UsageError: A line is no JSON object.

    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            payload = _json(line, f"line {number} of standard input")
            if not isinstance(payload, dict):
                raise UsageError(
                    f"line {number} of standard input is no JSON object", 'write {"field": value} in a line'
                )
            yield payload


def _published(
    publisher: Publisher,
    name: str,
    payloads: Iterable[dict[str, Any]],
    attributes: Attributes,
) -> Iterator[str]:
    """Publish events, and yield the ids of those that Kafka has acknowledged, also of those before a refused event."""
    payload_stream = iter(payloads)
    refusal: Exception | None = None
    while refusal is None:
        identities: list[str] = []
        try:
            for payload in islice(payload_stream, _BATCH):
                identity = publisher.publish(name, payload, **asdict(attributes))
                identities.append(identity)
        except Exception as error:  # noqa: BLE001 - raised again below, after the acknowledged ids
            refusal = error
        publisher.flush()
        yield from identities
        if not identities:
            break
    if refusal is not None:
        raise refusal


class _Number(float):
    """A number as it was written: a decimal field takes all of its digits, any other a float."""

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number._text = text
        return number

    def __repr__(self) -> str:
        return self._text


def _json(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text, parse_float=_Number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is no JSON: {error}", "write JSON, such as 12.5, true or [1, 2]") from None


@contextmanager
def _publishing(settings: Settings, timeout_text: str) -> Iterator[Publisher]:
    """Yield the SDK's publisher, and turn the errors of the SDK into ours."""
    import flowbridge_sdk as sdk  # noqa: PLC0415 - 0.2 s that --help need not wait

    try:
        timeout = timedelta(microseconds=parse_duration(timeout_text))
    except DurationError as error:
        raise UsageError(f"--timeout: {error}") from None
    if timeout < _LEAST_TIMEOUT:
        raise UsageError(f"--timeout: found {timeout_text!r}", "give Kafka at least 1s")
    milliseconds = str(timeout // timedelta(milliseconds=1))
    with (
        sdk_errors(settings),
        sdk.Publisher(
            schemas=sdk.EventSchemas.load(*settings.schemas),
            registry=registry_of(settings),
            shared_topics=settings.shared_topics,
            config=_QUIET | settings.client_properties() | {"delivery.timeout.ms": milliseconds},
        ) as publisher,
    ):
        yield publisher


def registry_of(settings: Settings) -> Registry | None:
    """Return the schema registry that the settings name, if they name one."""
    if settings.schema_registry_url is None:
        return None
    from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

    return Registry(settings.schema_registry_url)


@contextmanager
def sdk_errors(settings: Settings) -> Iterator[None]:
    """Turn the errors of the SDK about an event into ours."""
    import flowbridge_sdk as sdk  # noqa: PLC0415 - as above

    try:
        yield
    except (sdk.RefusedError, sdk.NotRegisteredError) as error:
        raise EventRefusedError(str(error)) from error
    except sdk.SchemaError as error:
        raise SchemasError(str(error)) from error
    except sdk.SettingsError as error:
        raise UsageError(str(error), "docs/settings.md lists all settings") from error
    except sdk.RegistryUnavailableError as error:
        raise RegistryUnreachableError(str(error)) from error
    except sdk.PublishError as error:
        raise NotPublishedError(f"{error} (Kafka: {settings.bootstrap_servers})") from error
