"""How long a scrape of the ledger takes: 3 rollouts, 2 revisions each, all 1024 bins, 2 labels.

.venv/bin/python bench/server/exposition.py
"""

import time

from assay_server.ledger.counts import Cell, Counts

counts = Counts("fraud")
for rollout in range(3):
    for revision in ("stable", "canary"):
        for score_bin in range(1024):
            for label in "01":
                predicted = "1" if score_bin > 512 else "0"
                cell = Cell(revision, f"r{rollout}", 0, predicted, label, "1", score_bin)
                counts.add(cell, 1 + score_bin, rollout)
times = []
for _ in range(20):
    start = time.perf_counter()
    text = counts.text("0123456789abcdef", {"counted": 1})
    times.append(time.perf_counter() - start)
lines = text.count("\n")
print(f"{lines} lines, {len(text.encode()) / 1e6:.2f} MB")
print(
    f"first scrape {times[0] * 1e3:.1f} ms, then {sorted(times[1:])[9] * 1e3:.1f} ms (median of 19)"
)
