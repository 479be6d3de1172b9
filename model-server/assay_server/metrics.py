"""What a serving process counts, by noun, and how it tells Prometheus.

Requests add to plain integers; all text is made when it is asked for.
"""

import asyncio
import platform
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise

from assay_server import __version__, exposition
from assay_server.receipts import Stratum

# Strata that are counted at once. Whoever reaches the Service past the gateway can make up stratum
# headers: that must neither grow our memory nor take the place of the strata in use.
MAX_STRATA = 256
# There from the start: a counter that is born with its first error has no increase for Prometheus.
_CODES = (400, 404, 405, 408, 413, 415, 421, 500, 503)
_KEPT_SCRAPES = 4
# Together with draining, as long as most scrape intervals; and short enough for the 30 s that
# Kubernetes gives a process to end.
_LAST_SCRAPE_SECONDS = 10.0
_ERRORS = "assay_request_errors_total"


@dataclass(slots=True)
class _Stratum:
    """What was answered under one stratum since it was last new here."""

    boot: str
    requests: int = 0
    rows: dict[str, int] = field(default_factory=dict)


class Served:
    """Requests and rows that were answered, by stratum; `boot` tells processes apart.

    Of more than `MAX_STRATA` strata those that served last are kept. The operator adds up the
    largest values of all boots: a stratum that comes back starts at 0 under a boot of its own, so
    that nothing that was scraped is lost or shrinks.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._boot = secrets.token_hex(4)
        self._evicted = 0
        # Least recently used first.
        self._strata: dict[Stratum, _Stratum] = {}
        self.requests = 0

    def add(self, stratum: Stratum, predicted: Mapping[str, int], requests: int = 1) -> None:
        """Count requests and their rows by predicted class."""
        served = self._strata.pop(stratum, None)
        if served is None:
            if len(self._strata) >= MAX_STRATA:
                del self._strata[next(iter(self._strata))]
                self._evicted += 1
            boot = f"{self._boot}-{self._evicted}" if self._evicted else self._boot
            served = _Stratum(boot)
        self._strata[stratum] = served
        served.requests += requests
        self.requests += requests
        rows = served.rows
        for name, count in predicted.items():
            rows[name] = rows.get(name, 0) + count

    def text(self) -> str:
        """Return the families in the text format."""
        rows: dict[str, int] = {}
        requests: dict[str, int] = {}
        for stratum, served in self._strata.items():
            labels: dict[str, str | int] = {
                **self._labels,
                "rollout": stratum.rollout,
                "step": stratum.step,
                "boot": served.boot,
            }
            requests[exposition.series("assay_requests_total", labels)] = served.requests
            for predicted, count in served.rows.items():
                text = exposition.series("assay_served_total", {**labels, "predicted": predicted})
                rows[text] = count
        return exposition.counters(
            "assay_served_total", "Rows predicted by this process.", rows
        ) + exposition.counters(
            "assay_requests_total", "Infer requests answered by this process.", requests
        )


class Requests:
    """Requests as clients see them: how long they take, how many fail, how many are under way."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._errors = dict.fromkeys(_CODES, 0)
        self.latency = exposition.Histogram(
            "assay_request_duration_seconds",
            "Time from an infer request's first byte in the server to its answer.",
            labels,
        )
        self.in_flight = 0
        """Infer requests that were read and have no answer from the model yet."""
        self.scoring_seconds = 0.0
        """Time that answered requests waited for the model, had it and were signed, in sum."""

    def failed(self, status: int) -> None:
        """Count an answer of 400 and more."""
        self._errors[status] = self._errors.get(status, 0) + 1

    def text(self) -> str:
        """Return the families in the text format."""
        own = self._labels
        errors = {
            exposition.series(_ERRORS, {**own, "code": code}): count
            for code, count in self._errors.items()
        }
        scoring, in_flight = "assay_request_scoring_seconds_total", "assay_requests_in_flight"
        return (
            self.latency.text()
            + exposition.counters(
                scoring,
                "Time that answered infer requests waited for the model and its receipts.",
                {exposition.series(scoring, own): self.scoring_seconds},
            )
            + exposition.gauges(
                in_flight,
                "Infer requests that were read and wait for the model.",
                {exposition.series(in_flight, own): self.in_flight},
            )
            + exposition.counters(_ERRORS, "Answers other than success, by status code.", errors)
        )


class Scrapes:
    """When the counters were read, so that a process does not leave with some that nobody knows.

    `clock` counts seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_KEPT_SCRAPES)
        self._known = 0
        self._scraped = asyncio.Event()

    def add(self, requests: int) -> None:
        """Note that the counters were read when so many requests had been answered."""
        self._times.append(self._clock())
        self._known = requests
        self._scraped.set()

    async def last(self, requests: Callable[[], int]) -> None:
        """Wait for a scrape that knows of all requests, if there is hope for one.

        That is one and a half times as long as the longest of the last gaps between scrapes, at
        least 1 s and at most 10 s; not at all if nobody scrapes, or nobody any more.
        """
        gap = max((b - a for a, b in pairwise(self._times)), default=0.0)
        if not gap or self._clock() - self._times[-1] > max(2 * gap, _LAST_SCRAPE_SECONDS):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(1.5 * gap, 1.0), _LAST_SCRAPE_SECONDS)):
                while requests() > self._known:
                    self._scraped.clear()
                    await self._scraped.wait()


def build_info(engine: str) -> str:
    """Return what this program is made of; `engine` is what runs the model."""
    labels = {
        "version": __version__,
        "python": platform.python_version(),
        "sklearn": _version("scikit-learn"),
        "engine": engine,
    }
    return _info("assay_build_info", "Versions of the server and what runs the model.", labels)


def model_info(labels: Mapping[str, str]) -> str:
    """Return what model is served."""
    return _info("assay_model_info", "The model that is served.", labels)


def _info(name: str, help_text: str, labels: Mapping[str, str]) -> str:
    return exposition.gauges(name, help_text, {exposition.series(name, labels): 1})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
