"""From a table to scored rows: columns as the models want them, answers as they must be.

Everything that can be wrong with a value is found here, and named by row and column, so that no
figure ever has to explain a NaN.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay_server.models.classes import class_name
from assay_server.reference import category_of
from assay_workbench.candidate import Candidate, ModelFailedError, ScoreKind, Scores
from assay_workbench.dataset import Batch, Dataset, Table
from assay_workbench.errors import WorkbenchError
from assay_workbench.sample import Answers, Floats, Indexes, Part, Sample

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of a row may add up: single precision, as the server allows."""

MISSING = ("NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "?")
"""Texts that stand for a missing number."""


@dataclass(frozen=True)
class Question:
    """What is asked of a table: the models first to last, and the class that matters most.

    Attributes
    ----------
    candidates
        The model, and the baseline if there is one.
    positive
        Name of the class that thresholds and costs are about; `None` takes a binary model's own.
    """

    candidates: tuple[Candidate, ...]
    positive: str | None = None


def score(
    dataset: Dataset,
    question: Question,
    memory: int,
    shown: Callable[[int], object] = int,
) -> Sample:
    """Score all rows of a table by all models.

    Parameters
    ----------
    memory
        Bytes of scored rows that may be kept in memory.
    shown
        Called with the number of rows after each batch.

    Raises
    ------
    WorkbenchError
        For whatever is wrong with the table or with what a model says of it.
    """
    first = question.candidates[0]
    for other in question.candidates[1:]:
        _check_same_classes(first, other)
    columns = [columns_of(dataset, each, [dataset.label]) for each in question.candidates]
    wanted = sorted({name for names in columns for name in names})
    sample = Sample(
        first.classes,
        _positive(first, question.positive),
        tuple(each.kind for each in question.candidates),
        memory,
    )
    known = {name: place for place, name in enumerate(first.classes)}
    for batch in dataset.batches([dataset.label, *wanted]):
        labels = labels_of(dataset, dataset.label, batch, known)
        answers = tuple(
            answers_of(dataset, batch, candidate, names, first.classes)
            for candidate, names in zip(question.candidates, columns, strict=True)
        )
        sample.append(Part(labels, answers))
        shown(labels.size)
    if not sample.rows:
        raise WorkbenchError(f"{dataset.path}: has no rows")
    return sample


def _check_same_classes(first: Candidate, other: Candidate) -> None:
    if set(first.classes) != set(other.classes):
        raise WorkbenchError(
            f"{other.path}: has the classes {', '.join(other.classes)}, but {first.path} has "
            f"{', '.join(first.classes)}: only models of the same classes can be compared"
        )


def _positive(candidate: Candidate, asked: str | None) -> int | None:
    if asked is None:
        return candidate.positive
    if asked not in candidate.classes:
        raise WorkbenchError(
            f"--positive: {asked!r} is no class of {candidate.path}; it has "
            f"{', '.join(candidate.classes)}"
        )
    return candidate.classes.index(asked)


def columns_of(table: Table, candidate: Candidate, others: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a model in its order: by name if it knows names, else all in order.

    `others` are columns of the table that are not the model's. Raises `WorkbenchError`.
    """
    names = candidate.feature_names
    if names is not None:
        table.check(names, f", and {candidate.path} was trained with more")
        return names
    found = tuple(name for name in table.names if name not in others)
    if candidate.features is not None and len(found) != candidate.features:
        beside = f" beside {', '.join(map(repr, others))}" if others else ""
        raise WorkbenchError(
            f"{table.path}: has {len(found)} columns{beside}, but "
            f"{candidate.path} takes {candidate.features}; it knows no names, so the table must have "
            "just its columns, in its order"
        )
    return found


def labels_of(
    table: Table, column: str, batch: Batch, known: dict[str, int], *, complete: bool = True
) -> Indexes:
    """Return the classes that a column names, as indexes, shape (n,).

    -1 stands for an empty value, which raises `WorkbenchError` if the column has to be `complete`;
    a class that is not known always does.
    """
    values = batch.columns.column(column).to_pylist()
    found = np.empty(len(values), dtype=np.intp)
    for place, value in enumerate(values):
        index = known.get(value) if isinstance(value, str) else None
        if index is None:
            if not complete and (value is None or value != value):  # noqa: PLR0124 - NaN
                index = -1
            else:
                where = f"{table.path}: row {batch.first + place}: column {column!r}"
                index = _label(where, value, known)
        found[place] = index
    return found


def _label(where: str, value: object, known: dict[str, int]) -> int:
    if value is None or value != value:  # noqa: PLR0124 - NaN
        raise WorkbenchError(f"{where} is empty: every row needs its true class")
    for name in (class_name(value), whole(value)):
        if name in known:
            return known[name]
    raise WorkbenchError(
        f"{where}: {value!r} is no class of the model, which knows {', '.join(known)}; leave such "
        "rows out, or train a model that knows the class"
    )


def whole(value: object) -> str:
    """Return the text of a whole number without its zeros: a CSV may say 1.0 for the class 1."""
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    return str(int(number)) if number.is_integer() else str(value)


def answers_of(
    table: Table,
    batch: Batch,
    candidate: Candidate,
    names: Sequence[str],
    classes: tuple[str, ...],
) -> Answers:
    """Score some rows; classes are counted in the order of `classes`.

    Raises `WorkbenchError` for whatever is wrong with a row or with what the model says of it.
    """
    rows = rows_of(table, batch, candidate, names)
    try:
        scores = candidate.score(rows)
    except ModelFailedError as error:
        row, cause = _culprit(rows, candidate, error)
        raise WorkbenchError(
            f"{table.path}: row {batch.first + row}: {candidate.path}: {cause}"
        ) from error
    found = by_class(scores, candidate.kind)
    if found is not None and candidate.kind is ScoreKind.PROBABILITY:
        _check_probabilities(found, table, batch, candidate)
    if candidate.classes == classes:
        return Answers(scores.predicted, found)
    order = [candidate.classes.index(name) for name in classes]
    places = np.empty(len(classes), dtype=np.intp)
    places[order] = np.arange(len(classes))
    return Answers(places[scores.predicted], None if found is None else found[:, order])


def rows_of(table: Table, batch: Batch, candidate: Candidate, names: Sequence[str]) -> Floats:
    """Return rows as the model takes them, (n, d); what is missing is NaN. Raises `WorkbenchError`."""
    rows = np.empty(
        (batch.columns.num_rows, len(names)), dtype=object if candidate.text else np.float64
    )
    for place, name in enumerate(names):
        column = batch.columns.column(name)
        values = texts(column) if place in candidate.text else numbers(table, batch, name)
        rows[:, place] = values
        if place not in candidate.may_be_missing:
            missing = values != values  # noqa: PLR0124 - NaN
            if np.any(missing):
                row = batch.first + int(np.argmax(missing))
                raise WorkbenchError(
                    f"{table.path}: row {row}: column {name!r} has no value, and {candidate.path} "
                    "takes none that are missing; fill or leave out such rows, or train a pipeline "
                    "that imputes"
                )
    return rows


def texts(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    """Return a column as names, NaN where there is none; a number is named as in a CSV."""
    found = np.empty(len(column), dtype=object)
    names = (category_of(value) for value in column.to_pylist())
    found[:] = [math.nan if name is None else name for name in names]
    return found


def numbers(table: Table, batch: Batch, name: str) -> Floats:
    """Return a column as numbers, NaN where there is none."""
    column = batch.columns.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        numbers = _cast(column)
        found: Floats = np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)
    except pa.ArrowException:
        row, value = _no_number(column)
        raise WorkbenchError(
            f"{table.path}: row {batch.first + row}: column {name!r}: {value!r} is no number, and "
            "the model takes numbers there"
        ) from None
    endless = np.isinf(found)
    if endless.any():
        row = batch.first + int(np.argmax(endless))
        raise WorkbenchError(f"{table.path}: row {row}: column {name!r} is infinite")
    return found


def _cast(column: pa.Array) -> pa.Array:
    """Return a column as doubles; texts may have blanks around a number, or say that it is missing."""
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    try:
        return pc.cast(column, pa.float64(), safe=False)
    except pa.ArrowException:
        if not is_text:
            raise
    # Looking at each text costs more than reading it as a number, which nearly all are.
    column = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(column, value_set=pa.array(MISSING, column.type))
    return pc.cast(pc.if_else(missing, pa.scalar(None, column.type), column), pa.float64())


def _no_number(column: pa.Array) -> tuple[int, object]:
    """Return the first value that is no number, and where it is."""
    for place, value in enumerate(column.to_pylist()):
        try:
            float(value) if value is not None else 0.0
        except (TypeError, ValueError):
            return place, value
    return 0, column[0].as_py()


def _culprit(rows: Floats, candidate: Candidate, error: ModelFailedError) -> tuple[int, str]:
    """Find the first row that the model does not answer, by halves, and why."""
    low, high, cause = 0, len(rows), error
    while high - low > 1:
        middle = (low + high) // 2
        try:
            candidate.score(rows[low:middle])
        except ModelFailedError as found:
            high, cause = middle, found
        else:
            low = middle
    reason = cause.__cause__
    told = f"{cause} ({reason})" if reason else str(cause)
    return low, " ".join(told.split())[:300]


def by_class(scores: Scores, kind: ScoreKind | None) -> Floats | None:
    """Return a score for each class, (n, K); `None` if there is none."""
    if kind is None:
        return None
    if kind is ScoreKind.PROBABILITY:
        return scores.probabilities
    decisions = scores.decisions
    if decisions is None or decisions.ndim == 2:
        return decisions
    return np.column_stack([-decisions, decisions])


def _check_probabilities(found: Floats, table: Table, batch: Batch, candidate: Candidate) -> None:
    sums = found.sum(axis=1)
    wrong = (np.abs(sums - 1.0) > SUM_TOLERANCE) | (found < 0.0).any(axis=1)
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    values = ", ".join(f"{value:.4g}" for value in found[row, :8])
    raise WorkbenchError(
        f"{table.path}: row {batch.first + row}: the probabilities that {candidate.path} gives "
        f"({values}) add up to {sums[row]:.4g} and not to 1, or one is negative: normalise them "
        "in the model, for instance with CalibratedClassifierCV"
    )
