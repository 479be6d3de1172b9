"""What a model was worth on labelled rows, and what its scores mean there.

It is the part of a drift reference from which quality is estimated without labels. A calibrated
score says how likely a row belongs to a class. So the expected number of true positives among rows
that were predicted positive is the sum of their calibrated scores, and no label is needed
(confidence-based performance estimation, CBPE: NannyML). `calibration.fit` makes it where a model
is tested.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

MAX_BINS = 256
"""Score bins of a class; a score bin goes from above one edge up to and including the next."""
MAX_CLASSES = 16
"""Classes of a multiclass model; of each a histogram is kept."""

Average = Literal["Binary", "Macro"]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class ClassScores(msgspec.Struct, frozen=True, kw_only=True):
    """What the scores of one class mean.

    Attributes
    ----------
    of_class
        Name of the class.
    edges
        Largest scores of all bins but the last, increasing.
    shares
        Share of the rows in each bin that are of the class, never decreasing; one more than edges.
    """

    of_class: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    edges: Annotated[tuple[float, ...], msgspec.Meta(max_length=MAX_BINS - 1)]
    shares: Annotated[tuple[Share, ...], msgspec.Meta(max_length=MAX_BINS)]

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        if not all(map(math.isfinite, self.edges)) or not all(map(math.isfinite, self.shares)):
            raise ValueError("edges and shares must be finite")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges must increase")
        if any(low > high for low, high in pairwise(self.shares)):
            raise ValueError("shares must not decrease")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("shares must have one more entry than edges")


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled rows in summary. They must not be those that the model was fitted on.

    Attributes
    ----------
    rows
        How many there were.
    average
        Binary: of the positive class. Macro: the mean over all classes, each against the rest.
    f1, roc_auc
        Of these rows, with the predictions and scores that the model gave.
    classes
        The positive class of a binary model, or every class of another one.
    """

    rows: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    average: Average
    f1: Share
    roc_auc: Share
    classes: Annotated[tuple[ClassScores, ...], msgspec.Meta(min_length=1, max_length=MAX_CLASSES)]

    def __post_init__(self) -> None:
        """Check what types cannot say."""
        names = [entry.of_class for entry in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("classes must differ")
        if (self.average == "Binary") != (len(names) == 1):
            raise ValueError("classes must be one if average is Binary, several if it is Macro")

    def columns(self, classes: Sequence[str], positive: int | None) -> list[int] | None:
        """Return where in a model's probabilities the scores are; None if it has other classes.

        Parameters
        ----------
        classes
            Names of the model's classes, in the order of its probabilities.
        positive
            Index of its positive class, if it is binary.
        """
        names = [entry.of_class for entry in self.classes]
        if positive is not None:
            return [positive] if names == [classes[positive]] else None
        return [classes.index(name) for name in names] if set(names) == set(classes) else None
