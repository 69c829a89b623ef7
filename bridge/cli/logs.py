"""What a process says while it works: on stderr, a line for people or one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from bridge.settings import Settings

_LINE = "%(asctime)s %(levelname)-7s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON: time, level, logger, message, and the traceback of a bug."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(settings: Settings) -> None:
    """Send what is logged to stderr, as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(_LINE))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that a server started is ours to say
    logging.getLogger("httpx").setLevel(logging.WARNING)  # so is each question to a schema registry, and its address
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry of ours would be said twice
