"""Whether the artifact, as the server loads it, says what the model said that was trained."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_workbench.candidate import Candidate, Scores
from assay_workbench.errors import WorkbenchError
from assay_workbench.sample import Floats, Indexes

TOLERANCE = 1e-9
"""How far apart scores may be: what another order of additions makes of them is far less."""

SINGLE = 1e-4
"""The same of ONNX, whose operators count in single precision."""

Rows = NDArray[Any]


@dataclass
class Fidelity:
    """What the comparison found so far.

    Attributes
    ----------
    rows
        Compared.
    largest
        Largest difference of two scores.
    tolerance
        How large it may be, relative beyond 1.
    """

    tolerance: float = TOLERANCE

    rows: int = 0
    largest: float = 0.0


class Original:
    """The model as it was trained, asked in its own way: with names if it was trained with names."""

    def __init__(self, model: Any, candidate: Candidate) -> None:
        self._model = model
        self._names = candidate.feature_names
        self._text = candidate.text
        self._classes = np.asarray(model.classes_)

    def table(self, rows: Rows) -> Any:
        """Return rows as the model takes them. Raises `WorkbenchError` if that needs pandas."""
        if self._names is None:
            return rows
        try:
            import pandas as pd  # noqa: PLC0415 - whoever trained with names has it
        except ImportError:
            raise WorkbenchError(
                "needs pandas, because the model was trained with named columns: pip install pandas"
            ) from None
        columns = {
            name: rows[:, place] if place in self._text else rows[:, place].astype(np.float64)
            for place, name in enumerate(self._names)
        }
        return pd.DataFrame(columns)

    def ask(self, rows: Rows) -> tuple[Indexes, Floats | None]:
        """Return predicted classes, (n,), and scores: (n, K), or (n,) and (n, w) if they are decisions.

        Raises `WorkbenchError` when the model fails.
        """
        table = self.table(rows)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                predicted = np.searchsorted(self._classes, np.asarray(self._model.predict(table)))
                for method in ("predict_proba", "decision_function"):
                    if hasattr(self._model, method):
                        scores = np.asarray(getattr(self._model, method)(table), dtype=np.float64)
                        return predicted, scores
        except Exception as error:
            message = " ".join(str(error).split())[:300]
            raise WorkbenchError(
                f"the model as it was trained fails on these rows: {message}"
            ) from error
        return predicted, None


def compare(
    first: int,
    said: tuple[Indexes, Floats | None],
    served: Scores,
    candidate: Candidate,
    found: Fidelity,
) -> None:
    """Compare what was `said` with what is `served`; the first row has the number `first`.

    Raises `WorkbenchError` at the first row of which they differ.
    """
    predicted, scores = said
    given = served.decisions if served.probabilities is None else served.probabilities
    if scores is not None and given is not None:
        away = np.abs(given - scores).reshape(len(scores), -1).max(axis=1)
        away[np.isnan(away)] = np.inf
        worst = int(away.argmax())
        if away[worst] > found.tolerance * max(1.0, float(np.abs(scores[worst]).max())):
            raise _differs(first + worst, f"scores are {given[worst]} and were {scores[worst]}")
        found.largest = max(found.largest, float(away[worst]))
    if candidate.threshold is None:
        other = np.flatnonzero((served.predicted != predicted) & ~_tied(scores, found.tolerance))
        if other.size:
            row = int(other[0])
            new, old = (candidate.classes[each[row]] for each in (served.predicted, predicted))
            raise _differs(first + row, f"class {new!r} is predicted and {old!r} was")
    found.rows += len(predicted)


def _tied(scores: Floats | None, tolerance: float) -> NDArray[np.bool_]:
    """Return of which rows two classes are so near that the tolerance decides, (n,)."""
    if scores is None:
        return np.zeros(1, dtype=np.bool_)
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    top = np.partition(scores, -2, axis=1)[:, -2:]
    tied: NDArray[np.bool_] = top[:, 1] - top[:, 0] <= 2.0 * tolerance
    return tied


def _differs(row: int, what: str) -> WorkbenchError:
    return WorkbenchError(
        f"row {row}: the packaged model does not say what the trained one says: {what}. Nothing is "
        "written; a step of the model that keeps no state of its own, or draws lots, may be the cause"
    )
