"""The log of a process, on stderr: each message is a line for people or one JSON object.

No character of a message is a command to the terminal, even if an id or an error holds one. The lines of a traceback
are indented, so that none reads as a message.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from textwrap import indent
from typing import TYPE_CHECKING, Any

from bridge.kafka.outage import KafkaOutage
from bridge.plain_text import visible

if TYPE_CHECKING:
    from bridge.settings.settings import Settings

_PATIENCE = 3.0  # seconds that Kafka has for an answer
_LINE = "%(asctime)s %(levelname)-7s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON: time, level, logger, message, what it is about, and the traceback of a bug."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return visible(json.dumps(line, ensure_ascii=False))


class TextLines(logging.Formatter):
    """A line for people, and below it the traceback of a bug."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is given by the base
        """Return the record as one line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is given by the base
        """Return a traceback, indented."""
        return indent(visible(super().formatException(ei), lines=True), "    ")


def set_up(settings: Settings, outage: KafkaOutage | None = None) -> None:
    """Send the log to stderr in the format of the settings. ``outage`` filters it."""
    for former in logging.getLogger().handlers:
        for told in former.filters:
            if hasattr(told, "close"):  # the outage of a command that ran in this process before
                told.close()
    handler = logging.StreamHandler(sys.stderr)
    if outage is not None:
        handler.addFilter(outage)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines(_LINE))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    # A producer whose Kafka is away cannot end its transaction when it is closed. Kafka does.
    warnings.filterwarnings("ignore", "Producer .* during close", RuntimeWarning)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # we log ourselves that a server started
    logging.getLogger("httpx").setLevel(logging.WARNING)  # and each request to a schema registry, without its address
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry of ours would be logged twice


def kafka_outage(settings: Settings) -> KafkaOutage:
    """Return the filter that reports in short that the Kafka of the settings is away."""
    from confluent_kafka import KafkaException  # noqa: PLC0415  (0.1 s that --help need not wait)
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  (the same)

    properties: dict[str, Any] = {**settings.client_properties(), "log_level": 0, "error_cb": lambda _error: None}

    def answers() -> bool:
        try:  # a client for each question, which keeps no connections while all is well
            AdminClient(properties).list_topics(timeout=_PATIENCE)
        except KafkaException:
            return False
        return True

    return KafkaOutage(answers)
