"""Series that one revision and step of a ledger has, by family, after so many labels.

    .venv/bin/python bench/server/series.py [rows]

A calibrated binary model (AUC .9, a tenth positive), one-vs-rest logistic regression on digits
(10 classes, rows drawn again and again with noise), and 16 classes made up. All rows have a user.
"""

import sys
from collections import Counter

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from assay_server.ledger.bins import bins_per_group, fine_bin_of
from assay_server.ledger.counts import Counts
from assay_server.ledger.metrics import Exposition
from assay_server.ledger.predictions import Cell, packed
from assay_server.ledger.totals import Additions, Places

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
dice = np.random.default_rng(1)


def binary() -> tuple[np.ndarray, np.ndarray]:
    """Return truth and probabilities: log-odds of two normal distributions, calibrated."""
    truth = (dice.random(rows) < 0.1).astype(int)
    distance = 1.8124
    score = dice.normal(truth * distance, 1.0)
    log_odds = distance * score - distance**2 / 2 + np.log(0.1 / 0.9)
    positive = 1 / (1 + np.exp(-log_odds))
    return truth, np.column_stack([1 - positive, positive])


def fitted(data: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    model = OneVsRestClassifier(LogisticRegression(max_iter=1000)).fit(data[::2], truth[::2])
    chosen = dice.integers(0, len(data), rows)
    noisy = data[chosen] + dice.normal(0, 0.3 * data.std(), (rows, data.shape[1]))
    return truth[chosen], model.predict_proba(noisy)


def series(truth: np.ndarray, probabilities: np.ndarray) -> Counter:
    """Count the labels of these rows and return the number of series by family."""
    count = probabilities.shape[1]
    names = tuple(f"{number}" for number in range(count))
    predicted = probabilities.argmax(axis=1)
    bins = fine_bin_of(probabilities[:, 1:] if count == 2 else probabilities)
    numbers: dict[Cell, int] = {}
    additions = Additions()
    for label, answer, places in zip(truth, predicted, bins.tolist(), strict=True):
        cell = Cell(
            "r", "x", 0, names[answer], names[label], names, names[1] if count == 2 else None
        )
        number = numbers.setdefault(cell, len(numbers))
        scores = numbers.setdefault(cell._replace(predicted=None), len(numbers))
        for key in Places(cell, number, scores).of(packed(places), dice.bytes(6)):
            additions.one(key, 1)
    counts = Counts()
    counts.learn({number: cell for cell, number in numbers.items()})
    counts.add(additions)
    text = Exposition("d").text(counts, "s", {}, {"pending": 0, "waiting": 0})
    lines = (line.partition("{")[0] for line in text.splitlines() if not line.startswith("#"))
    return Counter(name for name in lines if "outcomes" in name or "scores" in name)


digits = load_digits(return_X_y=True)
made_up = make_classification(6000, 30, n_informative=20, n_classes=16, random_state=1)
for title, found in (
    ("binary", binary()),
    ("10 classes (digits)", fitted(*digits)),
    ("16 classes", fitted(*made_up)),
):
    size = found[1].shape[1]
    print(f"{title}: {rows} rows, {bins_per_group(size) if size > 2 else 1} base bins are one")
    for name, number in sorted(series(*found).items()):
        print(f"  {name:30} {number:6}")
