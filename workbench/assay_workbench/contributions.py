"""Linear models taken apart: what each column adds to the score of a row.

A linear model's score is a sum. Against the mean training row, a column of the recipe adds the sum
of weight times distance over what it became in the pipeline (a scaled number, or a column for each
category); components of a PCA are linear too. With a calibration these are the scores before it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from assay_workbench.table import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear model of prepared columns.

    Attributes
    ----------
    outputs
        Name of each prepared column: the column, or ``column = category``.
    origins
        Place of the column of the table that it comes from, shape (m,).
    classes
        That rows of `weights` are for; of two classes the positive one only.
    weights
        Shape (s, m), of prepared columns.
    intercepts
        Shape (s,).
    centre
        Mean prepared training row, shape (m,).
    columns
        Prepares rows.
    """

    outputs: tuple[str, ...]
    origins: NDArray[np.intp]
    classes: tuple[str, ...]
    weights: Floats
    intercepts: Floats
    centre: Floats
    columns: Any

    def means(self, width: int) -> list[list[float]]:
        """Return what each of so many columns adds to each score on average, over the training rows."""
        found = np.zeros((len(self.weights), width))
        for output, origin in enumerate(self.origins):
            found[:, origin] += self.weights[:, output] * self.centre[output]
        means: list[list[float]] = found.tolist()
        return means

    def contributions(self, rows: NDArray[Any]) -> tuple[Floats, Floats]:
        """Take scores of rows of shape (n, d) apart.

        Returns
        -------
        tuple
            The score of the mean training row, shape (s,), and what each column adds to it, shape
            (n, s, d). Together they are the decision function; with the first of two classes its negative.
        """
        prepared = np.asarray(self.columns.transform(rows), dtype=np.float64)
        parts = (prepared - self.centre)[:, None, :] * self.weights[None, :, :]
        added = np.zeros((len(rows), len(self.weights), rows.shape[1]))
        for output, origin in enumerate(self.origins):
            added[:, :, origin] += parts[:, :, output]
        return self.intercepts + self.weights @ self.centre, added


def linear(
    model: Pipeline, table: Table, places: NDArray[np.intp], positive: str | None
) -> Linear | None:
    """Return a trained model as a linear one; `None` if it is none.

    Parameters
    ----------
    places
        Of the training rows.
    positive
        Of two classes the one that weights are to speak for.
    """
    columns = model.named_steps["columns"]
    steps = list(model.steps[1:])
    if steps[0][0] == "calibrated":
        steps = steps[0][1].calibrated_classifiers_[0].estimator.steps
    found = _weights(steps[-1][1])
    if found is None:
        return None
    weights, intercepts = found
    for name, step in reversed(steps[:-1]):
        if name == "pca":
            intercepts = intercepts - weights @ step.components_ @ step.mean_
            weights = weights @ step.components_
        else:
            whole = np.zeros((len(weights), step.get_support().size))
            whole[:, step.get_support()] = weights
            weights = whole
    outputs, origins = _outputs(columns, table)
    centre = np.asarray(columns.transform(table.rows[places]), dtype=np.float64).mean(axis=0)
    classes = tuple(str(name) for name in model.classes_)
    if len(classes) == 2:
        # scikit-learn's weights are those of the second one.
        if positive == classes[0]:
            weights, intercepts = -weights, -intercepts
        classes = (positive or classes[1],)
    return Linear(
        outputs,
        origins,
        classes,
        weights,
        intercepts,
        centre,
        columns,
    )


def _weights(estimator: Any) -> tuple[Floats, Floats] | None:
    if isinstance(estimator, OneVsRestClassifier):
        each = [_weights(one) for one in estimator.estimators_]
        known = [one for one in each if one is not None]
        if len(known) != len(each):
            return None
        return np.vstack([one[0] for one in known]), np.concatenate([one[1] for one in known])
    if isinstance(estimator, (LogisticRegression, LinearSVC)):
        return estimator.coef_, np.atleast_1d(estimator.intercept_)
    return None


def _outputs(columns: Any, table: Table) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    names: list[str] = []
    origins: list[int] = []
    for part, transformer, places in columns.transformers_:
        if part == "numeric":
            names += [table.names[place] for place in places]
            origins += places
        elif part == "categorical":
            encode = transformer.named_steps["encode"]
            infrequent = getattr(encode, "infrequent_categories_", [None] * len(places))
            known = zip(places, encode.categories_, infrequent, strict=True)
            for place, categories, rare in known:
                gone = set() if rare is None else set(rare.tolist())
                kept = [str(each) for each in categories if each not in gone]
                kept += ["(rare)"] if gone else []
                names += [f"{table.names[place]} = {each}" for each in kept]
                origins += [place] * len(kept)
    return tuple(names), np.array(origins, dtype=np.intp)
