"""Linear pipelines as a few numpy operations, believed only when proven equal to scikit-learn."""

from typing import Any, NamedTuple

from assay_server.models.columns import Columns, missing_columns
from assay_server.models.compiled.compiler import Compiled, candidates
from assay_server.models.compiled.proof import NotEqualError, prove
from assay_server.models.compiled.steps import CannotCompileError
from assay_server.models.scores import Engine

__all__ = ["CannotCompileError", "Compiled", "Proven", "compiled"]


class Proven(NamedTuple):
    """A compiled engine, the columns that may be missing, and on how many rows it was proven."""

    engine: Compiled
    missing: frozenset[int]
    rows: int


def compiled(model: Any, original: Engine, columns: Columns, *, decisions: bool) -> Proven:
    """Compile a fitted scikit-learn classifier, after `prepare`, and prove it.

    Parameters
    ----------
    original
        The engine that asks scikit-learn.
    decisions
        Whether decision scores are served.

    Raises
    ------
    CannotCompileError
        With the reason: a part that is not compiled, or answers that differ.
    """
    reason = ""
    try:
        for candidate in candidates(model, decisions=decisions, objects=bool(columns.text)):
            # What it says of missing values is part of what is then proven.
            missing = missing_columns(candidate, columns)
            try:
                return Proven(candidate, missing, prove(candidate, original, columns, missing))
            except NotEqualError as error:
                reason = str(error)
    except CannotCompileError:
        raise
    except Exception as error:  # whatever is odd about it, scikit-learn can serve it
        raise CannotCompileError(f"{type(error).__name__} while compiling") from error
    raise CannotCompileError(reason)
