"""Checked arrays: whole counts, and sums of weights. Read-only copies; errors name the element."""

from typing import Any

import numpy as np
import numpy.typing as npt

from assay.evidence.errors import EvidenceError

MOST = 2.0**53
"""Rows that a count may have: beyond it a float holds no longer every whole number."""

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]


def as_counts(value: Any, name: str, dimensions: int) -> Counts:
    """Copy `value` to read-only int64, or raise an `EvidenceError` naming the element."""
    array = value if _is_integers(value) else _floats(value, name)
    _check_dimensions(array, name, dimensions)
    # Thousands of arrays are made in a look, of integers nearly all of them.
    if not _is_integers(array) or (array.size and (array.min() < 0 or array.max() > MOST)):
        bad = ~np.isfinite(array) | (array < 0) | (array != np.floor(array)) | (array > MOST)
        _refuse(bad, array, name, whole=True)
    result: Counts = array.astype(np.int64)
    result.setflags(write=False)
    return result


def as_sums(value: Any, name: str, dimensions: int) -> Sums:
    """Copy `value` to read-only float64 >= 0, or raise an `EvidenceError` naming the element."""
    result = _floats(value, name).copy()
    _check_dimensions(result, name, dimensions)
    _refuse(~np.isfinite(result) | (result < 0), result, name, whole=False)
    result.setflags(write=False)
    return result


def as_count(value: Any, name: str) -> int:
    """Return one whole count, or raise an `EvidenceError` naming it."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise EvidenceError(name, f"{value!r} is not a number of rows") from None
    if not np.isfinite(number) or number < 0 or number != np.floor(number) or number > MOST:
        raise EvidenceError(name, _why_no_count(number, whole=True))
    return int(value)


def _floats(value: Any, name: str) -> Sums:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise EvidenceError(name, "is not a rectangular array of counts") from None


def _check_dimensions(array: npt.NDArray[Any], name: str, dimensions: int) -> None:
    if array.ndim != dimensions:
        raise EvidenceError(name, f"has {array.ndim} dimensions instead of {dimensions}")


def _refuse(bad: npt.NDArray[np.bool_], array: npt.NDArray[Any], name: str, *, whole: bool) -> None:
    if bad.any():
        where = tuple(int(index) for index in np.argwhere(bad)[0])
        path = name + "".join(f"[{index}]" for index in where)
        raise EvidenceError(path, _why_no_count(float(array[where]), whole=whole))


def _is_integers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def _why_no_count(value: float, *, whole: bool) -> str:
    if not np.isfinite(value):
        return f"{value} is not a number of rows"
    if value < 0:
        return f"{value:g} is negative"
    if value > MOST:
        return f"{value:g} is more than can be counted"
    return f"{value:g} is not a whole number" if whole else f"{value:g} is not a sum of weights"
