"""Fits what a model's scores mean on labelled rows: called where a model is tested, never to serve.

Isotonic regression gives the share of rows that are of a class as a never decreasing function of
the score. It is kept as one share per bin, so that a server needs only counts by bin.

References: Zadrozny, Elkan, Transforming classifier scores into accurate multiclass probability
estimates (2002).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score, roc_auc_score

from assay_server.models.classes import class_name
from assay_server.quality import MAX_BINS, MAX_CLASSES, ClassScores, Quality

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indexes = NDArray[np.intp]


class CalibrationError(Exception):
    """The labelled rows will not do; the message says why, and quotes no row."""


def fit(
    classes: Sequence[Any],
    labels: ArrayLike,
    predicted: ArrayLike,
    probabilities: ArrayLike,
    *,
    positive: Any = None,
) -> Quality:
    """Return what a model is worth on labelled rows, and what its scores mean there.

    Parameters
    ----------
    classes
        The model's `classes_`.
    labels, predicted
        True and predicted class of each row, shape (n,), with the decision threshold that will be
        served. Rows that the model was fitted on would flatter it.
    probabilities
        The model's `predict_proba`, shape (n, K).
    positive
        The positive class of a binary model; None is the second.

    Raises
    ------
    CalibrationError
        Shapes that do not fit, unknown labels, a class without rows, probabilities that are none,
        too many classes.
    """
    names = [class_name(value) for value in classes]
    scores = np.asarray(probabilities, dtype=np.float64)
    true, given = _indexes("labels", labels, names), _indexes("predicted", predicted, names)
    _check(names, true, given, scores)
    watched = list(range(len(names)))
    if len(names) == 2:
        name = names[1] if positive is None else class_name(positive)
        if name not in names:
            raise CalibrationError(f"positive: {name!r} is none of the classes")
        watched = [names.index(name)]
    elif positive is not None:
        raise CalibrationError("positive: the model is not binary")
    # Each class against the rest, so that one line of scikit-learn serves both kinds of model.
    hits = [true == place for place in watched]
    chosen = [given == place for place in watched]
    columns = [scores[:, place] for place in watched]
    return Quality(
        rows=len(true),
        average="Binary" if len(watched) == 1 else "Macro",
        f1=_mean([f1_score(*pair, zero_division=0) for pair in zip(hits, chosen, strict=True)]),
        roc_auc=_mean([roc_auc_score(*pair) for pair in zip(hits, columns, strict=True)]),
        classes=tuple(
            _class(names[place], *pair) for place, *pair in zip(watched, columns, hits, strict=True)
        ),
    )


def _indexes(what: str, values: ArrayLike, names: Sequence[str]) -> Indexes:
    try:
        known, inverse = np.unique(np.asarray(values), return_inverse=True)
    except TypeError:
        raise CalibrationError(f"{what} must be all numbers or all text, none missing") from None
    found = [class_name(value) for value in known]
    for place, name in enumerate(found):
        if name not in names:
            first = int(np.argmax(inverse.ravel() == place))
            raise CalibrationError(f"{what}[{first}] is none of the model's classes")
    places = np.array([names.index(name) for name in found], dtype=np.intp)
    return places[inverse.ravel()]


def _check(names: Sequence[str], true: Indexes, given: Indexes, scores: Floats) -> None:
    if scores.shape != (len(true), len(names)) or len(given) != len(true):
        raise CalibrationError(
            f"labels and predicted must have one entry per row, probabilities {len(names)}"
        )
    if not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise CalibrationError("probabilities must lie between 0 and 1, none may be missing")
    if len(names) < 2:
        raise CalibrationError("there must be at least two classes")
    if len(names) > MAX_CLASSES:
        raise CalibrationError(f"there are {len(names)} classes, at most {MAX_CLASSES} are watched")
    for place, name in enumerate(names):
        if not (true == place).any():
            raise CalibrationError(f"no row has the label {name!r}; every class needs some")


def _class(name: str, scores: Floats, hits: Bools) -> ClassScores:
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    shares = fitted.fit_transform(scores, hits.astype(np.float64))
    edges = _edges(scores, hits)
    bins = edges.searchsorted(scores, "left")
    rows = np.bincount(bins, minlength=len(edges) + 1)
    means = np.bincount(bins, weights=shares, minlength=len(edges) + 1) / rows
    # A mean of equal numbers may differ from them, and from its neighbour, in the last digit.
    means = np.maximum.accumulate(means.clip(0.0, 1.0))
    return ClassScores(of_class=name, edges=tuple(edges.tolist()), shares=tuple(means.tolist()))


def _edges(scores: Floats, hits: Bools) -> Floats:
    """Return edges, each of them a score below the largest, so that no bin is empty.

    Rows of the class have as many bins as all others, however rare they are: F1 and AUC are about
    both alike.
    """
    order = np.argsort(scores, kind="stable")
    weights = np.where(hits, 0.5 / hits.sum(), 0.5 / (~hits).sum())[order]
    reached = np.cumsum(weights) - weights / 2
    places = reached.searchsorted(np.arange(1, MAX_BINS) / MAX_BINS)
    ranked = scores[order]
    edges = np.unique(ranked[np.minimum(places, len(ranked) - 1)])
    below: Floats = edges[edges < ranked[-1]]
    return below


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
