"""A member's Prometheus in this process: it answers what a ledger had counted at the time asked for."""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from typing_extensions import override

BINS = 1024
ROWS = 12_000
POSITIVE = 0.3
DISTANCE = 1.8
"""Between the classes' mean scores, in standard deviations: an AUC of .9."""


class Arm:
    """Rows of one version in the order in which they come; `noise` makes its scores worse."""

    def __init__(self, seed: int, noise: float = 0.0) -> None:
        dice = np.random.default_rng(seed)
        self.label = (dice.random(ROWS) < POSITIVE).astype(int)
        score = dice.normal(DISTANCE * self.label, 1.0) + dice.normal(0.0, 1.0, ROWS) * noise
        log_odds = DISTANCE * score - DISTANCE**2 / 2 + np.log(POSITIVE / (1 - POSITIVE))
        self.predicted = (log_odds > 0).astype(int)
        # Every fourth bin only: a quarter of the series to send.
        self.place = np.clip((log_odds + 12) / 24 * BINS, 0, BINS - 1).astype(int) // 4 * 4

    def series(self, own: slice) -> Iterator[tuple[dict[str, str], int]]:
        """Yield labels and value of each series that counts these rows."""
        label, predicted, place = self.label[own], self.predicted[own], self.place[own]
        yield {"part": "assay_labelled_total"}, label.size
        yield {"part": "assay_requests_total"}, label.size
        for guess in (0, 1):
            rows = int((predicted == guess).sum())
            yield {"part": "assay_served_total", "predicted": str(guess)}, rows
        for truth in (0, 1):
            for guess in (0, 1):
                rows = int(((label == truth) & (predicted == guess)).sum())
                named = {"label": str(truth), "predicted": str(guess)}
                yield {"part": "assay_outcomes_total", **named}, rows
            for bin_, rows in zip(
                *np.unique(place[label == truth], return_counts=True), strict=True
            ):
                named = {"class": "1", "label": str(truth), "bin": str(bin_)}
                yield {"part": "assay_scores_total", **named}, int(rows)


@dataclass
class Member:
    """What one member has counted.

    Attributes
    ----------
    start
        Of the trial, Unix seconds.
    arms
        By revision.
    shares
        The canary's part of the rows by step, and the seconds at which each step begins.
    rate
        Labelled rows a second, of both arms.
    first, kept_from
        Seconds at which the ledger begins, and from which on Prometheus still has samples.
    now
        Seconds that "now" is.
    """

    start: float
    stable: str
    canary: str
    arms: dict[str, Arm]
    shares: tuple[tuple[float, float], ...] = ((0.0, 0.1), (600.0, 0.5))
    rate: float = 4.0
    first: float = 0.0
    kept_from: float = -1e9
    now: float = 2400.0
    error: int = 0
    store: str = "volume"
    asked: list[float | None] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    def answer(self, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and document for an instant query."""
        at = float(query["time"]) - self.start if "time" in query else None
        self.asked.append(at)
        self.queries.append(query["query"])
        if self.error:
            return self.error, {"status": "error", "error": "no"}
        seconds = self.now if at is None else at
        rows = list(self.rows(seconds)) if seconds >= max(self.first, self.kept_from) else []
        result = [{"metric": labels, "value": [0.0, str(value)]} for labels, value in rows]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    def rows(self, seconds: float) -> Iterator[tuple[dict[str, str], float]]:
        """Yield the series at a moment."""
        yield {"part": "age", "store": self.store, "positive": "1"}, 5.0
        begun = {self.stable: 0, self.canary: 0}
        for step, (begins, share) in enumerate(self.shares):
            ends = self.shares[step + 1][0] if step + 1 < len(self.shares) else 1e9
            lasted = max(0.0, min(seconds, ends) - max(begins, self.first))
            if not lasted:
                continue
            for revision, part in ((self.stable, 1.0 - share), (self.canary, share)):
                count = int(self.rate * lasted * part)
                own = slice(begun[revision], begun[revision] + count)
                begun[revision] += count
                for labels, value in self.arms[revision].series(own):
                    yield {**labels, "revision": revision, "step": str(step)}, value


class Server:
    """Serves a member's answers on loopback, until closed."""

    def __init__(self, member: Member) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                status, document = member.answer(query)
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Let go of the port."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
