"""Structured logs: one JSON object per line on stderr.

What is written is chosen field by field. Feature values, labels, receipts and exception messages
(which may quote them) never go into a log.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

from typing_extensions import override

log = logging.getLogger("assay")


class JSONFormatter(logging.Formatter):
    """Writes a record as `{"time", "level", "event", ...fields}`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if record.name != log.name:
            # Of other libraries only what their programmers wrote, not what they put into it.
            line |= {"event": str(record.msg), "logger": record.name}
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line |= fields
        if record.exc_info and record.exc_info[1] is not None:
            line |= failure(record.exc_info[1])
        return json.dumps(line, default=str)


def failure(error: BaseException) -> dict[str, str]:
    """Describe an exception without its message: its type and the places it passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
    return {"error": type(error).__name__, "where": where}


def loop_failed(_loop: object, context: Mapping[str, object]) -> None:
    """Log what an event loop has to complain of; its own way would quote exceptions."""
    error = context.get("exception")
    more = failure(error) if isinstance(error, BaseException) else {}
    event("loop_failed", level=logging.ERROR, **more)


def event(name: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Log one event with its fields."""
    log.log(level, name, extra={"fields": fields})


def configure() -> None:
    """Send all logs of this process to stderr as JSON; libraries only from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
