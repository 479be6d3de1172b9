"""Prometheus text exposition (format 0.0.4), written directly.

A ledger exposes tens of thousands of bins once a second, so the text of a series is made once,
when the series is born, and a scrape only joins strings and numbers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Seconds. Single rows of a linear model take 0.3 ms, the largest bodies some seconds.
LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    *(0.5, 1.0, 2.0, 5.0, 10.0),
)


def series(name: str, labels: Mapping[str, str | int]) -> str:
    """Return `name{label="value",...} `, ready for a number to be appended."""
    pairs = ",".join(f'{label}="{_escape(str(value))}"' for label, value in labels.items())
    return f"{name}{{{pairs}}} "


def family(name: str, kind: str, help_text: str, samples: Iterable[str]) -> str:
    """Return one metric family: HELP, TYPE and the samples, one per line."""
    return "\n".join([f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *samples, ""])


def counters(name: str, help_text: str, values: Mapping[str, int]) -> str:
    """Return a counter family from the text of each series (see `series`) and its value."""
    samples = [f"{text}{value}" for text, value in values.items()]
    return family(name, "counter", help_text, samples)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Histogram:
    """A latency histogram in seconds with the fixed buckets of `LATENCY_BUCKETS`."""

    def __init__(self, name: str, help_text: str, labels: Mapping[str, str | int]) -> None:
        self._name = name
        self._help = help_text
        self._counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self._sum = 0.0
        edges = [*(repr(edge) for edge in LATENCY_BUCKETS), "+Inf"]
        self._buckets = [series(f"{name}_bucket", {**labels, "le": edge}) for edge in edges]
        self._sum_text = series(f"{name}_sum", labels)
        self._count_text = series(f"{name}_count", labels)

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._sum += seconds

    def text(self) -> str:
        """Return the family in the text format; buckets are cumulative there."""
        samples = []
        total = 0
        for text, count in zip(self._buckets, self._counts, strict=True):
            total += count
            samples.append(f"{text}{total}")
        samples += [f"{self._sum_text}{self._sum!r}", f"{self._count_text}{total}"]
        return family(self._name, "histogram", self._help, samples)
