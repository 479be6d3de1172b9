"""What the ledgers and servers of many trials would expose, for a Prometheus to scrape.

Run as a process of its own (``python -m bench.scale.exposition PORT FILE``): the trials are in FILE, one
JSON list of namespace, deployment, stable, canary and rollout each. Both versions score alike, so
every look finds new labels and, for some minutes, no verdict.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
from typing_extensions import override

BINS = 1024
ROWS = 100_000
FIRST = 200
LABELS_PER_SECOND = 1.0
POSITIVE = 0.3
_DISTANCE = 1.8
"""Between the classes' mean scores, in standard deviations: an AUC of .9."""

Trial = tuple[str, str, str, str, str]


class Arm:
    """Rows of one version in the order in which their labels come: every count only grows."""

    def __init__(self, seed: int) -> None:
        dice = np.random.default_rng(seed)
        self._label = (dice.random(ROWS) < POSITIVE).astype(int)
        score = dice.normal(_DISTANCE * self._label, 1.0)
        log_odds = _DISTANCE * score - _DISTANCE**2 / 2 + np.log(POSITIVE / (1 - POSITIVE))
        self._predicted = (log_odds > 0).astype(int)
        self._place = np.clip((log_odds + 12) / 24 * BINS, 0, BINS - 1).astype(int)

    def series(self, rows: int) -> list[tuple[str, str, int]]:
        """Return name, labels and value of each series after so many rows."""
        label, predicted = self._label[:rows], self._predicted[:rows]
        found = [("assay_labelled_total", "", rows), ("assay_requests_total", 'boot="b"', rows)]
        for guess in (0, 1):
            served = int((predicted == guess).sum())
            found.append(("assay_served_total", f'boot="b",predicted="{guess}"', served))
        for truth in (0, 1):
            for guess in (0, 1):
                count = int(((label == truth) & (predicted == guess)).sum())
                found.append(
                    ("assay_outcomes_total", f'label="{truth}",predicted="{guess}"', count)
                )
            places = self._place[:rows][label == truth]
            for place, count in zip(*np.unique(places, return_counts=True), strict=True):
                labels = f'class="1",label="{truth}",bin="{place}"'
                found.append(("assay_scores_total", labels, int(count)))
        return found


class Page:
    """The text of one scrape."""

    def __init__(self, trials: list[Trial]) -> None:
        self._trials = trials
        self._began = time.time()
        self._arms = Arm(1), Arm(2)

    def text(self) -> str:
        """Return all series of all trials."""
        rows = FIRST + int(LABELS_PER_SECOND * (time.time() - self._began))
        counts = [arm.series(min(rows, ROWS)) for arm in self._arms]
        lines = []
        for namespace, deployment, *revisions, rollout in self._trials:
            own = f'namespace="{namespace}",deployment="{deployment}"'
            lines.append(f'assay_ledger_info{{{own},store="{deployment}",positive="1"}} 1')
            for revision, found in zip(revisions, counts, strict=True):
                arm = f'{own},rollout="{rollout}",revision="{revision}",step="0"'
                lines += [f"{name}{{{arm},{labels}}} {count}" for name, labels, count in found]
        return "\n".join(lines) + "\n"


def main() -> None:
    """Serve until killed."""
    page = Page([tuple(each) for each in json.loads(Path(sys.argv[2]).read_text())])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
