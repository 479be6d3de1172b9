"""Logs as JSON lines, each with the ModelDeployment that it is about."""

import contextvars
import datetime
import json
import logging
import sys

from typing_extensions import override

deployment: contextvars.ContextVar[str | None] = contextvars.ContextVar("deployment", default=None)
"""``namespace/name`` of the ModelDeployment that the current task is busy with."""


CLOUDEVENT = "cloudevent"
"""Attribute of a record that is a CloudEvent; its line is the event and nothing else."""


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        if (event := getattr(record, CLOUDEVENT, None)) is not None:
            return json.dumps(event, ensure_ascii=False)
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if key := deployment.get():
            line["deployment"] = key
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send every record as a JSON line to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # They log every request and every object seen.
    for name in ("kopf", "aiohttp.access", "urllib3", "prometheus_api_client", "asyncio"):
        logging.getLogger(name).setLevel("WARNING")
