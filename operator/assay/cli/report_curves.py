"""Curves and confusion matrices of both arms, from the counts of a trial. Pure.

Curves are of cell shares that are standardised over strata, as the judge's values are: so the area
under a drawn ROC curve is the AUC that decides, and traffic that differs between members or steps does
not show as a difference between versions. Confusion matrices are plain sums of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.evidence import Evidence
from assay.judge import MetricSpec
from assay.judge.metrics import NoValue, metric_of
from assay.judge.reading import read_looks
from assay.judge.strata import standardise

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

ARMS = ("stable", "canary")
_ANY_MARGIN = 0.5  # the curve has none


@dataclass(frozen=True)
class ArmCurves:
    """One arm's curves of one class against all others.

    Attributes
    ----------
    roc
        False and true positive rate, from (0, 0) to (1, 1).
    precision_recall
        Recall, ascending, and the precision at it.
    roc_auc, average_precision
        As the judge has them.
    """

    roc: tuple[Floats, Floats]
    precision_recall: tuple[Floats, Floats]
    roc_auc: float
    average_precision: float


@dataclass(frozen=True)
class ClassCurves:
    """The curves of one class.

    Attributes
    ----------
    of
        The class.
    rows
        Labelled rows of the class in both arms.
    share
        The class's part of all rows, standardised over both arms: what knows nothing has as precision.
    """

    of: str
    rows: int
    share: float
    stable: ArmCurves
    canary: ArmCurves


def confusion(evidence: Evidence) -> tuple[tuple[str, ...], dict[str, Counts]]:
    """Return the classes, and by arm the labelled rows of all strata, (K, K), rows true classes."""
    if not evidence.strata:
        return (), {}
    classes = evidence.strata[0].stable.labels
    return classes, {
        arm: np.sum([getattr(each, arm).confusion for each in evidence.strata], axis=0)
        for arm in ARMS
    }


def curves(evidence: Evidence) -> Iterator[ClassCurves]:
    """Yield the curves of every class whose scores are counted in both arms, by name."""
    strata = Evidence(evidence.strata)
    names = {name for each in strata.strata for arm in ARMS for name in getattr(each, arm).scores}
    for name in sorted(names):
        try:
            yield _of_class(strata, name)
        except NoValue:
            continue  # no labels, or no scores, of this class in one of the arms


def _of_class(strata: Evidence, name: str) -> ClassCurves:
    shares, areas = _shares(strata, "ROCAUC", name)
    _, precisions = _shares(strata, "AveragePrecision", name)
    middle = shares.shape[-1] // 2
    arms = {
        arm: ArmCurves(
            _roc(each[:middle], each[middle:]),
            _precision_recall(each[:middle], each[middle:]),
            float(area),
            float(precision),
        )
        for arm, each, area, precision in zip(ARMS, shares, areas, precisions, strict=True)
    }
    rows = sum(
        int(each.scores[name].positive.sum())
        for stratum in strata.strata
        for each in (stratum.stable, stratum.canary)
        if name in each.scores
    )
    return ClassCurves(name, rows, float(shares[:, :middle].sum(axis=1).mean()), **arms)


def _shares(strata: Evidence, metric: str, name: str) -> tuple[Floats, Floats]:
    """Return both arms' standardised shares, (2, 2 bins), positives then negatives, and the values."""
    spec = MetricSpec(metric, metric, _ANY_MARGIN, positive_label=name)
    part = read_looks(metric_of(spec), strata).parts[0]
    both = standardise(part)
    middle = both.shares.shape[-1] // 2
    held = both.shares[:, :middle].sum(axis=1), both.shares[:, middle:].sum(axis=1)
    if not all(np.isfinite(each).all() and (each > 0.0).all() for each in held):
        raise NoValue("", f"an arm has rows of {name!r} only, or none")
    return both.shares, part.component.value(both.shares)


def _roc(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    rates = [
        np.concatenate([[0.0], np.cumsum(each[::-1]) / each.sum()])
        for each in (negatives, positives)
    ]
    return _corners(rates[0], rates[1])


def _precision_recall(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    hits, alarms = (np.cumsum(each[::-1]) for each in (positives, negatives))
    some = hits + alarms > 0.0
    recall, precision = hits[some] / positives.sum(), hits[some] / (hits + alarms)[some]
    return _corners(recall, precision)


def _corners(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Leave out points that are equal to the one before: empty bins."""
    moved = np.concatenate([[True], (np.diff(x) != 0.0) | (np.diff(y) != 0.0)])
    return x[moved], y[moved]
