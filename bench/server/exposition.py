"""How long a scrape of the ledger takes: 3 rollouts, 2 revisions each, all 1024 bins, 2 labels.

.venv/bin/python bench/server/exposition.py
"""

import time

from assay_server.exposition import negotiated
from assay_server.ledger.bins import fine_from_base
from assay_server.ledger.counts import Counts
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import Cell
from assay_server.ledger.totals import Kind, Sum, score_place

counts = Counts()
cells = [
    Cell(revision, f"r{rollout}", 0, None, label, ("0", "1"), "1")
    for rollout in range(3)
    for revision in ("stable", "canary")
    for label in "01"
]
counts.learn(dict(enumerate(cells)))
counts.add(
    ((number, int(Kind.SCORE), score_place(1, fine_from_base(base))), Sum(1 + base))
    for number in range(len(cells))
    for base in range(1024)
)
exposition = Exposition("fraud")
times = []
for _ in range(20):
    start = time.perf_counter()
    gauges = {"pending": 0, "waiting": 0}
    text = exposition.text(counts, "0123456789abcdef", {"counted": 1}, gauges)
    body, _ = negotiated(text, "application/openmetrics-text")
    times.append(time.perf_counter() - start)
print(f"{text.count(chr(10))} lines, {len(body) / 1e6:.2f} MB")
print(
    f"first scrape {times[0] * 1e3:.1f} ms, then {sorted(times[1:])[9] * 1e3:.1f} ms (median of 19)"
)
