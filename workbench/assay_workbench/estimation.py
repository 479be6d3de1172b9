"""What a server needs to estimate a model's quality without labels: what its scores meant with them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from assay_server.calibration import CalibrationError, fit
from assay_server.quality import Quality


def quality_of(
    classes: Sequence[str],
    labels: ArrayLike,
    predicted: ArrayLike,
    probabilities: ArrayLike | None,
    positive: str | None = None,
) -> Quality | None:
    """Return what scores mean on labelled rows that the model was not fitted on.

    Parameters
    ----------
    classes
        Names of the classes, in the order of the probabilities.
    labels, predicted
        Indexes of the true and of the predicted class of each row, (n,).
    probabilities
        (n, K); None if the model has none.
    positive
        The positive class of two; None is the second.

    Returns
    -------
    Quality | None
        None where there is nothing to estimate by: no probabilities, more classes than a server
        watches, or one without a row.
    """
    if probabilities is None:
        return None
    names = np.asarray(classes, dtype=object)
    try:
        return fit(
            classes,
            names[np.asarray(labels)],
            names[np.asarray(predicted)],
            probabilities,
            positive=positive if len(names) == 2 else None,
        )
    except CalibrationError:
        return None
