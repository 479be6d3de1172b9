"""``python -m tests.drift.quality``: estimated against realised F1 and AUC, as a table.

Rows are drawn from known chances, so what a model is worth can be looked up where it is served. It is
served through the same code as in a pod: a reference with calibrated scores, counts by bin, figures.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from assay_server.calibration import fit
from assay_server.drift.estimate import Estimate, Figures

Values = npt.NDArray[np.float64]

FEATURES = 6
ROWS = 100_000
TRAINED = 20_000
LABELLED = 50_000
_LINE = np.array([1.2, -0.8, 0.6, 0.5, 0.0, 0.3])


def linear(rows: Values) -> Values:
    """Return log-odds that a logistic regression can learn."""
    return rows @ _LINE - 1.5


def curved(rows: Values) -> Values:
    """Return log-odds that it cannot."""
    return 1.2 * rows[:, 0] * (rows[:, 1] > 0) - rows[:, 2] ** 2 + np.sin(2 * rows[:, 3]) - 0.3


def rare(rows: Values) -> Values:
    """Return log-odds of one positive in thirty."""
    return linear(rows) * 1.2 - 3.2


def turned(rows: Values) -> Values:
    """Return what `linear` becomes when a feature means the opposite: concept drift."""
    return rows @ (_LINE * [-1, 1, 1, 1, 1, 1]) - 1.5


@dataclass(frozen=True)
class Case:
    """A model, and how the rows that it is served differ from those that it was tested on.

    Attributes
    ----------
    truth, served
        Log-odds of the positive class when it was made, and when it is served.
    shift
        Of the mean of each feature, in standard deviations.
    labelled
        Rows that it was tested on.
    """

    name: str
    model: Callable[[], Any]
    truth: Callable[[Values], Values]
    shift: tuple[float, ...]
    served: Callable[[Values], Values] | None = None
    labelled: int = LABELLED


def logistic() -> LogisticRegression:
    """Return a linear model."""
    return LogisticRegression()


def boosting() -> HistGradientBoostingClassifier:
    """Return a model of any shape."""
    return HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, random_state=0)


SAME = (0.0,) * FEATURES
HALF = (0.5, 0.0, 0.5, 0.0, 0.0, 0.5)
FAR = (1.0, -0.5, 0.5, 0.5, 0.0, 0.0)

CASES = (
    Case("no shift", logistic, linear, SAME),
    Case("three features by .5", logistic, linear, HALF),
    Case("four features by .5 to 1", logistic, linear, FAR),
    Case("rare positives, three by .5", logistic, rare, HALF, labelled=400_000),
    Case("the same, fewer labels", logistic, rare, HALF),
    Case("boosted trees, three by .5", boosting, curved, HALF),
    Case("boosted trees, four by .5 to 1", boosting, curved, FAR),
    Case("model too simple, three by .5", logistic, curved, HALF),
    Case("concept drift, no shift", logistic, linear, SAME, turned),
    Case("concept drift, three by .5", logistic, linear, HALF, turned),
)


@dataclass(frozen=True)
class Outcome:
    """What a case came to: of the labelled rows, estimated, and as it really was."""

    reference: Figures
    estimated: Figures
    realised: Figures


def run(case: Case, seed: int, rows: int = ROWS) -> Outcome:
    """Train, test, calibrate and serve."""
    random = np.random.default_rng(seed)
    trained = random.normal(size=(TRAINED, FEATURES))
    model = case.model().fit(trained, _labels(random, case.truth(trained)))
    tested = random.normal(size=(case.labelled, FEATURES))
    labels = _labels(random, case.truth(tested))
    scores = model.predict_proba(tested)
    # The threshold that is best for F1, as people choose it.
    threshold = float(np.quantile(scores[:, 1], 1.0 - labels.mean()))
    quality = fit([0, 1], labels, (scores[:, 1] >= threshold).astype(int), scores)
    served = random.normal(size=(rows, FEATURES)) + case.shift
    scores = model.predict_proba(served)
    predicted = (scores[:, 1] >= threshold).astype(int)
    estimate = Estimate(quality, [1])
    found = estimate.figures(estimate.count(scores, predicted))
    real = _labels(random, (case.served or case.truth)(served))
    return Outcome(
        Figures(quality.f1, quality.roc_auc),
        found,
        Figures(f1_score(real, predicted), roc_auc_score(real, scores[:, 1])),
    )


def several(seed: int, shift: tuple[float, ...], rows: int = ROWS) -> Outcome:
    """Do the same with three classes: macro F1, and AUC of each against the rest."""
    random = np.random.default_rng(seed)
    weights = np.random.default_rng(5).normal(size=(FEATURES, 3))

    def labels(given: Values) -> npt.NDArray[np.int64]:
        noise = random.gumbel(size=(len(given), 3))
        return (given @ weights + [0.0, -1.0, 0.5] + noise).argmax(axis=1)

    trained, tested = np.split(random.normal(size=(TRAINED + LABELLED, FEATURES)), [TRAINED])
    model = LogisticRegression().fit(trained, labels(trained))
    quality = fit(
        model.classes_, labels(tested), model.predict(tested), model.predict_proba(tested)
    )
    served = random.normal(size=(rows, FEATURES)) + shift
    scores, real = model.predict_proba(served), labels(served)
    predicted = scores.argmax(axis=1)
    estimate = Estimate(quality, [0, 1, 2])
    return Outcome(
        Figures(quality.f1, quality.roc_auc),
        estimate.figures(estimate.count(scores, predicted)),
        Figures(
            f1_score(real, predicted, average="macro"),
            roc_auc_score(real, scores, multi_class="ovr"),
        ),
    )


def main() -> int:
    """Print the table; a minute."""
    print(
        "| case | F1: reference | estimated | realised | worst error"
        " | AUC: reference | estimated | realised | worst error |"
    )
    print("|---" * 9 + "|")
    seeds = range(5)
    for case in CASES:
        _print(case.name, [run(case, seed) for seed in seeds])
    _print("three classes, four by .5 to 1", [several(seed, FAR) for seed in seeds])
    return 0


def _print(name: str, outcomes: list[Outcome]) -> None:
    cells = [name]
    for place in range(2):
        first = outcomes[0]
        told = (first.reference[place], first.estimated[place], first.realised[place])
        worst = max(abs(each.estimated[place] - each.realised[place]) for each in outcomes)
        cells += [f"{figure:.3f}" for figure in (*told, worst)]
    print(f"| {' | '.join(cells)} |", flush=True)


def _labels(random: np.random.Generator, odds: Values) -> npt.NDArray[np.int64]:
    return (random.random(len(odds)) < 1.0 / (1.0 + np.exp(-odds))).astype(np.int64)


if __name__ == "__main__":
    sys.exit(main())
