"""Classes and their names."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_server.models.errors import UnsupportedModelError


def class_name(value: object) -> str:
    """Return a class as the string by which labels name it: 1 and 1.0 are "1"."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def class_names(values: NDArray[Any]) -> tuple[str, ...]:
    """Return the names of a model's classes. Raises UnsupportedModelError if they will not do."""
    if np.ndim(values) != 1:
        raise UnsupportedModelError("a model with several outputs cannot be served")
    names = tuple(class_name(value) for value in values)
    if len(names) < 2 or len(set(names)) != len(names):
        raise UnsupportedModelError("the model needs at least two classes with different names")
    if any(not name or not name.isprintable() for name in names):
        raise UnsupportedModelError("class names must not be empty or hold control characters")
    return names


def positive_class(classes: tuple[str, ...], label: str | None) -> int | None:
    """Return the index of a binary model's positive class, the second if no label names it.

    None for a model of more classes. Raises UnsupportedModelError for a label that cannot be.
    """
    if label is None:
        return 1 if len(classes) == 2 else None
    if len(classes) != 2:
        raise UnsupportedModelError(
            f"a positive label needs a binary model; this one has {len(classes)} classes"
        )
    if label not in classes:
        known = ", ".join(classes)
        raise UnsupportedModelError(f"the positive label {label!r} is not a class ({known})")
    return classes.index(label)
