"""What drift costs: CPU per row served, and per scrape.

.venv/bin/python bench/server/drift.py
"""

import time

import numpy as np

from assay_server.calibration import fit
from assay_server.drift import Drift, Inputs
from assay_server.exposition import negotiated
from assay_server.reference import Reference

ROWS = 60_000
LABELS = {"deployment": "fraud", "revision": "0123456789"}
generator = np.random.default_rng(0)


def cost(
    features: int, named: int, batch: int, rate: float, classes: int = 0
) -> tuple[float, float, int, int]:
    """Return microseconds per row, milliseconds per scrape, series, and rows per row looked at.

    Of so many `classes` quality is estimated; 0: not at all.
    """
    rows = generator.normal(size=(4096, features)).astype(object if named else float)
    for column in range(named):
        rows[:, column] = generator.choice([f"name {i}" for i in range(12)], 4096)
    names = [str(place) for place in range(classes)]
    scores = generator.dirichlet(np.ones(classes), 4096) if classes else None
    predicted = scores.argmax(axis=1) if classes else None
    quality = None
    if classes:
        labels = np.array(names)[[generator.choice(classes, p=line) for line in scores]]
        quality = fit(names, labels, np.array(names)[predicted], scores)
    reference = Reference.of(rows, categorical=range(named), quality=quality)
    positive = (1, "1") if classes == 2 else None
    inputs = Inputs(
        features, categorical=range(named), positive=positive, classes=names if classes else None
    )
    now = 0.0
    drift = Drift(reference.text(), inputs, LABELS, lambda: now)
    batches = [
        [
            None if part is None else part[start : start + batch].copy()
            for part in (rows, scores, predicted)
        ]
        for start in range(0, 2048, batch)
    ]
    start = time.process_time()
    for number in range(ROWS // batch):
        now += batch / rate
        drift.note(*batches[number % len(batches)])
    spent = time.process_time() - start
    scrapes = []
    for _ in range(9):
        drift.note(*batches[0])
        before = time.process_time()
        body, _ = negotiated(drift.text(), "application/openmetrics-text")
        scrapes.append(time.process_time() - before)
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    [stride] = [line.split()[-1] for line in lines if line.startswith("assay_feature_sampling")]
    return spent / ROWS * 1e6, sorted(scrapes)[4] * 1e3, len(lines), int(float(stride))


print(
    "features  names  classes  rows at once  rows/s    us/row  % of a core  scrape ms  series  1 row in"
)
for features, named, classes in (
    *((6, 0, 0), (30, 0, 0), (30, 0, 2), (30, 0, 10), (100, 0, 0), (100, 0, 2)),
    *((20, 10, 0), (100, 100, 0)),
):
    for batch, rate in ((1, 1000.0), (1, 20_000.0), (64, 4000.0), (64, 30_000.0)):
        micros, scrape, series, stride = cost(features, named, batch, rate, classes)
        print(
            f"{features:8d} {named:6d} {classes:8d} {batch:13d} {rate:7.0f} {micros:9.2f}"
            f" {micros * rate / 1e4:12.2f} {scrape:10.2f} {series:7d} {stride:9d}"
        )
