"""Read the schemas of events that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.errors import SchemasError
from bridge.settings.settings import Settings
from flowbridge_sdk.avro.checks import parse
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.schemas import EventSchemas

logger = logging.getLogger(__name__)


def event_schemas(settings: Settings, on_broken: Callable[[SchemaError], None] | None = None) -> dict[str, Any]:
    """Return the Avro schemas of events by name, as the SDK reads with them, so far as a folder holds them.

    Args:
        settings: The settings.
        on_broken: Called for each file that holds no usable schema; without it, such a file is an error.

    Raises:
        SchemasError: A path is missing, or a file holds no usable schema.

    """
    with schema_errors():
        current = EventSchemas.load(*settings.schemas, on_broken=on_broken).current
    return {name: parse(schema.text, {}) for name, schema in current.items()}


@contextmanager
def schema_errors() -> Iterator[None]:
    """Raise our error where the SDK raises its error of a bad schema."""
    try:
        yield
    except SchemaError as error:
        raise SchemasError(str(error)) from error


def log_broken(error: SchemaError) -> None:
    """Log a schema that cannot be read. Its own events become dead letters, and all others are read."""
    logger.error("events of this schema cannot be read: %s", error)
