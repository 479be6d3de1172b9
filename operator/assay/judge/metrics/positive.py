"""Which classes a metric is about: the positive one, or all that have scores."""

from collections.abc import Sequence

from assay.evidence.counts import ArmCounts
from assay.judge import reasons
from assay.judge.metrics.metric import NoValue


def positive_class(arms: Sequence[ArmCounts], asked: str | None) -> str:
    """Return the positive class. Raises `NoValue` when nothing says which it is.

    In this order: the one asked for, the only one whose scores are counted (ledgers count those of
    the positive class), the second of two labels as in scikit-learn.
    """
    found = asked if asked is not None else only_class(arms)
    if found is None:
        raise NoValue(
            reasons.POSITIVE_LABEL_UNKNOWN,
            f"which class is positive is not said, the classes seen are {list(arms[0].labels)}",
        )
    return found


def counted_class(arms: Sequence[ArmCounts], asked: str | None) -> str:
    """Return the positive class, which must be among the labels of the confusion matrix."""
    found = positive_class(arms, asked)
    if found not in arms[0].labels:
        raise NoValue(
            reasons.POSITIVE_LABEL_UNKNOWN,
            f"the positive class is {found!r}, the classes seen are {list(arms[0].labels)}",
        )
    return found


def only_class(arms: Sequence[ArmCounts]) -> str | None:
    """Return the one class that binary evidence is about; `None` where there are several."""
    scored = {name for arm in arms for name in arm.scores}
    labels = arms[0].labels
    if len(scored) == 1:
        return next(iter(scored))
    if len(scored) <= 2 and len(labels) == 2:
        return labels[1]
    return None


def scored_classes(arms: Sequence[ArmCounts]) -> tuple[str, ...]:
    """Return the classes that have rows of their own and scores, in the order of the labels.

    Raises `NoValue` when there are none, or when a class has labelled rows but no scores at all:
    what is left would be another metric.
    """
    labels = arms[0].labels
    scored = {name for arm in arms for name in arm.scores}
    if not scored:
        raise NoValue(reasons.NO_SCORES, "no scores of any class have been counted yet")
    for place, name in enumerate(labels):
        if name not in scored and any(arm.confusion[place].any() for arm in arms):
            raise NoValue(reasons.NO_SCORES, f"no scores of class {name!r} have been counted yet")
    order = [*(name for name in labels if name in scored), *sorted(scored - set(labels))]
    found = tuple(
        name
        for name in order
        if any(name in arm.scores and arm.scores[name].positive.any() for arm in arms)
    )
    if not found:
        raise NoValue(reasons.ONE_CLASS_ONLY, "no class with scores has a labelled row of its own")
    return found
