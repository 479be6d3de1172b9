"""The decision rule around an engine: rows of features in, predicted classes and scores out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_server.models.classes import class_names, positive_class
from assay_server.models.engines import Opened, open_estimator
from assay_server.models.errors import ModelFailedError, UnsupportedModelError
from assay_server.models.scores import Floats, Indexes, Rows, ScoreKind, Scores


class Scorer:
    """A classifier with its decision rule. Any thread may use it.

    Parameters
    ----------
    model
        A fitted scikit-learn classifier or pipeline, which is changed in place (see
        `estimator.prepare`), or the bytes of an ONNX model.
    threshold
        Binary models only: predict the positive class iff its probability is >= threshold.
        None leaves the decision to the model.
    positive_label
        Binary models only: name of the positive class; None means the second of `classes`.
    score
        What scores have to be; None: probabilities if the model has any.

    Attributes
    ----------
    classes, values
        Names of the classes, and the classes as the model has them, in the order of its scores.
    features, feature_names
        Number and names of columns; None if the model does not say.
    categorical
        Columns whose values are taken as they come, not as numbers.
    missing, takes_missing
        Columns that may be NaN, and whether there are any.
    score_kind
        What scores are; None if the model has none.
    has_probabilities, decision_width
        Which scores there are: see `Scores` and `Engine`.
    engine, engine_reason
        What computes the scores; why it is not compiled, if that could be.
    platform
        What the protocol calls the kind of model.
    parts
        What takes the scores of a linear model apart; None if it is not linear.

    Raises
    ------
    UnsupportedModelError
        When the model is no classifier, or cannot be served as asked.
    """

    def __init__(
        self,
        model: Any,
        threshold: float | None = None,
        positive_label: str | None = None,
        score: ScoreKind | None = None,
    ) -> None:
        opened = _open(model, score)
        self._engine = opened.engine
        self.values: NDArray[Any] = opened.values
        self.classes = class_names(opened.values)
        self.features = opened.columns.features
        self.feature_names = opened.columns.names
        self.categorical = opened.columns.text
        self.missing = opened.missing
        self.takes_missing = bool(opened.missing)
        self.score_kind = opened.kind
        self.has_probabilities = opened.engine.has_probabilities
        self.decision_width = opened.engine.decision_width
        self.engine = opened.engine.name
        self.engine_reason = opened.why
        self.proven_rows = opened.proven_rows
        self.platform = opened.platform
        self.threshold = threshold
        self.positive = positive_class(self.classes, positive_label)
        if threshold is not None and (self.positive is None or not self.has_probabilities):
            raise UnsupportedModelError("a threshold needs a binary model with predict_proba")
        self.parts = opened.parts
        self._blank = opened.columns.blank

    def score(self, rows: Rows) -> Scores:
        """Score rows of shape (n, d), n >= 1. Raises ModelFailedError."""
        try:
            scores = self._engine.score(rows, rule=self.threshold is None)
        except ValueError as error:
            message = "the model refused these rows"
            raise ModelFailedError(message, refused_input=True) from error
        except Exception as error:  # any model may raise anything; the server lives on
            raise ModelFailedError("the model failed", refused_input=False) from error
        for given in (scores.probabilities, scores.decisions):
            if given is not None and b"\0" in np.isfinite(given).tobytes():
                raise _no_number(rows)
        if self.threshold is not None and scores.probabilities is not None:
            predicted = self._by_threshold(scores.probabilities, self.threshold)
            return scores._replace(predicted=predicted)
        return scores

    def contributions(self, rows: Rows) -> Floats:
        """Return what each column adds to the decision scores of rows, of a model that has `parts`.

        Returns
        -------
        Floats
            Shape (n, d), for the positive class, or (n, K, d) for K classes.
        """
        if self.parts is None:
            raise AssertionError("nobody asks for contributions of a model that is not linear")
        found = self.parts(rows)
        if self.positive is None:
            return found
        # scikit-learn's score is one for the second class.
        return found[:, 0] if self.positive == 1 else -found[:, 0]

    def blank(self, count: int) -> Rows:
        """Return rows of zeros and known categories, to try the model with."""
        return self._blank(count)

    def _by_threshold(self, probabilities: NDArray[np.float64], threshold: float) -> Indexes:
        positive = self.positive or 0
        above = probabilities[:, positive] >= threshold
        return np.where(above, positive, 1 - positive)


def _open(model: Any, score: ScoreKind | None) -> Opened:
    if isinstance(model, bytes):
        # onnxruntime costs 30 MB, which only a server of ONNX should pay.
        from assay_server.models.onnx_model import open_onnx  # noqa: PLC0415

        return open_onnx(model, score)
    return open_estimator(model, score)


def _no_number(rows: Rows) -> ModelFailedError:
    """Return the error for a score that is no number: the rows' fault if values were missing."""
    if any(value != value for value in rows.ravel().tolist()):  # noqa: PLR0124 - NaN
        message = "a value is missing where the model takes none that are missing"
        return ModelFailedError(message, refused_input=True)
    return ModelFailedError("the model gave a score that is not a number", refused_input=False)
