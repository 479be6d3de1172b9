"""Prometheus text exposition (format 0.0.4, or OpenMetrics 1.0.0 for who asks), written directly.

A ledger exposes tens of thousands of bins once a second, so the text of a series is made once,
when the series is born, and a scrape only joins strings and numbers. prometheus-client, which
makes all text anew, takes some eighty times as long (docs/decisions/0014-own-exposition.md).
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_FAMILY = "\n# HELP "
# OpenMetrics wants the unit apart where a name ends with one.
_UNITS = ("seconds", "bytes", "ratio")

# Seconds. A row of a linear model takes 50 microseconds, the largest bodies some seconds.
LATENCY_BUCKETS = (
    *(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    *(0.5, 1.0, 2.0, 5.0, 10.0),
)


def series(name: str, labels: Mapping[str, str | int]) -> str:
    """Return `name{label="value",...} `, ready for a number to be appended."""
    pairs = ",".join(f'{label}="{_escape(str(value))}"' for label, value in labels.items())
    return f"{name}{{{pairs}}} "


def family(name: str, kind: str, help_text: str, samples: Iterable[str]) -> str:
    """Return one metric family: HELP, TYPE and the samples, one per line.

    `kind` is one of counter (its name ends with `_total`), gauge and histogram. A gauge whose name
    ends with `_info` is an info metric in OpenMetrics: its value is always 1.
    """
    return "\n".join([f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *samples, ""])


def counters(name: str, help_text: str, values: Mapping[str, float]) -> str:
    """Return a counter family from the text of each series (see `series`) and its value."""
    samples = [f"{text}{value}" for text, value in values.items()]
    return family(name, "counter", help_text, samples)


def gauges(name: str, help_text: str, values: Mapping[str, float]) -> str:
    """Return a gauge family from the text of each series (see `series`) and its value."""
    return family(name, "gauge", help_text, [f"{text}{value}" for text, value in values.items()])


def negotiated(text: str, accept: str | None) -> tuple[bytes, str]:
    """Return families as a body and its content type, in the format that the header asks for.

    OpenMetrics names a family of counters without `_total`, says its unit, and ends with a mark, so
    that a reader knows that it has all.
    """
    if accept is None or not _prefers_openmetrics(accept):
        return text.encode(), CONTENT_TYPE
    # Line ends within values are escaped, so this finds families only.
    first, *families = f"\n{text}".split(_FAMILY)
    written = [first, *(_openmetrics(*found.partition(" ")[::2]) for found in families)]
    return f"{''.join(written).lstrip()}# EOF\n".encode(), OPENMETRICS_TYPE


def _openmetrics(name: str, rest: str) -> str:
    help_text, type_line, samples = (*rest.split("\n", 2), "")[:3]
    kind = type_line.rpartition(" ")[2]
    if kind == "counter":
        name = name.removesuffix("_total")
    elif kind == "gauge" and name.endswith("_info"):
        name, kind = name.removesuffix("_info"), "info"
    unit = name.rpartition("_")[2]
    unit_line = f"# UNIT {name} {unit}\n" if unit in _UNITS else ""
    if samples and not samples.endswith("\n"):
        samples += "\n"
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n{unit_line}{samples}"


def _prefers_openmetrics(accept: str) -> bool:
    """Tell whether a header asks for OpenMetrics at least as much as for the older text."""
    wished = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        if kind in wished:
            wished[kind] = max(wished[kind], _weight(parameters))
    openmetrics, text = wished.values()
    return openmetrics > 0 and openmetrics >= text


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Histogram:
    """A histogram with fixed buckets, cheap to add to: by default of seconds.

    `edges` are the largest values of the buckets, in increasing order.
    """

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Mapping[str, str | int],
        edges: Sequence[float] = LATENCY_BUCKETS,
    ) -> None:
        self._name = name
        self._help = help_text
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0
        shown = [*(repr(float(edge)) for edge in edges), "+Inf"]
        self._buckets = [series(f"{name}_bucket", {**labels, "le": edge}) for edge in shown]
        self._sum_text = series(f"{name}_sum", labels)
        self._count_text = series(f"{name}_count", labels)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._edges, value)] += 1
        self._sum += value

    def text(self) -> str:
        """Return the family in the text format; buckets are cumulative there."""
        samples = []
        total = 0
        for text, count in zip(self._buckets, self._counts, strict=True):
            total += count
            samples.append(f"{text}{total}")
        samples += [f"{self._sum_text}{self._sum!r}", f"{self._count_text}{total}"]
        return family(self._name, "histogram", self._help, samples)
