"""What drift costs: CPU per row served, and per scrape.

.venv/bin/python bench/server/drift.py
"""

import time

import numpy as np

from assay_server.drift import Drift, Inputs
from assay_server.exposition import negotiated
from assay_server.reference import Reference

ROWS = 60_000
LABELS = {"deployment": "fraud", "revision": "0123456789"}
generator = np.random.default_rng(0)


def cost(features: int, named: int, batch: int, rate: float) -> tuple[float, float, int, int]:
    """Return microseconds per row, milliseconds per scrape, series, and rows per row looked at."""
    rows = generator.normal(size=(4096, features)).astype(object if named else float)
    for column in range(named):
        rows[:, column] = generator.choice([f"name {i}" for i in range(12)], 4096)
    reference = Reference.of(rows, categorical=range(named))
    inputs = Inputs(features, categorical=range(named))
    now = 0.0
    drift = Drift(reference.text(), inputs, LABELS, lambda: now)
    batches = [rows[start : start + batch].copy() for start in range(0, 2048, batch)]
    start = time.process_time()
    for number in range(ROWS // batch):
        now += batch / rate
        drift.note(batches[number % len(batches)])
    spent = time.process_time() - start
    scrapes = []
    for _ in range(9):
        drift.note(batches[0])
        before = time.process_time()
        body, _ = negotiated(drift.text(), "application/openmetrics-text")
        scrapes.append(time.process_time() - before)
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    [stride] = [line.split()[-1] for line in lines if line.startswith("assay_feature_sampling")]
    return spent / ROWS * 1e6, sorted(scrapes)[4] * 1e3, len(lines), int(float(stride))


print("features  names  rows at once  rows/s    us/row  % of a core  scrape ms  series  1 row in")
for features, named in ((6, 0), (30, 0), (100, 0), (20, 10), (100, 100)):
    for batch, rate in ((1, 1000.0), (1, 20_000.0), (64, 4000.0), (64, 30_000.0)):
        micros, scrape, series, stride = cost(features, named, batch, rate)
        print(
            f"{features:8d} {named:6d} {batch:13d} {rate:7.0f} {micros:9.2f} {micros * rate / 1e4:12.2f}"
            f" {scrape:10.2f} {series:7d} {stride:9d}"
        )
