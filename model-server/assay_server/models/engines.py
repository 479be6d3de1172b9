"""From what was in an artifact to what answers: the engine, its classes and columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

from assay_server.models.columns import Columns, columns_of, missing_columns
from assay_server.models.compiled import CannotCompileError, compiled
from assay_server.models.contributions import Contributions, contributions_of
from assay_server.models.errors import UnsupportedModelError
from assay_server.models.estimator import Estimator, class_values, prepare
from assay_server.models.scores import Engine, ScoreKind

PLATFORM = "sklearn"


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that can be asked.

    Attributes
    ----------
    values
        Its classes as the model has them, in the order of its scores.
    missing
        Columns that may be missing.
    kind
        What its scores are; None if it has none.
    why
        Why it is not compiled; None if it is, or if that is no question.
    parts
        What takes scores apart by column; None if the model is not linear.
    """

    engine: Engine
    values: NDArray[Any]
    columns: Columns
    missing: frozenset[int]
    kind: ScoreKind | None
    platform: str = PLATFORM
    why: str | None = None
    proven_rows: int = 0
    parts: Contributions | None = None


def open_estimator(model: Any, kind: ScoreKind | None) -> Opened:
    """Open a fitted scikit-learn classifier, compiled if that is proven to change nothing.

    `kind` is what its scores have to be; None: probabilities if it has any. The model is changed
    in place (see `prepare`). Raises UnsupportedModelError, whatever is wrong with it: an artifact
    may give any attribute any type.
    """
    try:
        return _opened(model, kind)
    except UnsupportedModelError:
        raise
    except Exception as error:
        fault = type(error).__name__
        message = f"{type(model).__name__} is not as scikit-learn fits it ({fault})"
        raise UnsupportedModelError(message) from error


def _opened(model: Any, kind: ScoreKind | None) -> Opened:
    values = class_values(model)
    prepare(model)
    columns = columns_of(model)
    kind = _kind(model, kind)
    with sklearn.config_context(assume_finite=False):
        width = _decision_width(model, columns) if kind is ScoreKind.DECISION else 0
        careful = Estimator(model, decision_width=width, checked=True)
        try:
            proven = compiled(model, careful, columns, decisions=width > 0)
        except CannotCompileError as error:
            missing = missing_columns(careful, columns)
            asked = Estimator(model, decision_width=width, checked=bool(missing))
            parts = contributions_of(model, columns, missing)
            return Opened(asked, values, columns, missing, kind, why=str(error), parts=parts)
    parts = contributions_of(model, columns, proven.missing)
    return Opened(
        proven.engine,
        values,
        columns,
        proven.missing,
        kind,
        proven_rows=proven.rows,
        parts=parts,
    )


def _kind(model: Any, wanted: ScoreKind | None) -> ScoreKind | None:
    has = {
        ScoreKind.PROBABILITY: hasattr(model, "predict_proba"),
        ScoreKind.DECISION: hasattr(model, "decision_function"),
    }
    if wanted is None:
        return next((kind for kind in ScoreKind if has[kind]), None)
    if not has[wanted]:
        other = next((f"; it gives {kind}" for kind in ScoreKind if has[kind]), "")
        name = "predict_proba" if wanted is ScoreKind.PROBABILITY else "decision_function"
        raise UnsupportedModelError(f"score {wanted} needs a model with {name}{other}")
    return wanted


def _decision_width(model: Any, columns: Columns) -> int:
    try:
        shape = np.shape(model.decision_function(columns.blank(1)))
    except Exception:  # noqa: BLE001 - a row of zeros need not be one that it takes
        count = len(model.classes_)
        return 1 if count == 2 else count
    return 1 if len(shape) == 1 else int(shape[1])
