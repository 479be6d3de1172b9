"""Kayenta-like judgements: Mann-Whitney on one value per 200 labelled requests.

Written anew from the semantics of Kayenta's `MannWhitneyClassifier` and `NetflixACAJudge`
(tolerance .25, 98 % interval, direction "decrease"): the canary is low when the upper end of the
interval of the Hodges-Lehmann shift lies below -.25 of the shift's own size. Stable is the control.
The trial lasts 10 000 requests, judged at equal distances on all values so far: a low judgement
rolls back, a last one that is not low promotes.
"""

import numpy as np
from scipy.stats import norm

from tests.simulation.ends import Ends
from tests.simulation.values import Floats

REQUESTS = 10_000
PER_VALUE = 200
TOLERANCE = 0.25
QUANTILE = float(norm.ppf(0.99))
"""Of a two-sided interval of 98 %."""


def is_low(experiment: Floats, control: Floats) -> bool:
    """Whether a judgement of two lists of values is "Low"; without data it is not."""
    experiment = experiment[np.isfinite(experiment)]
    control = control[np.isfinite(control)]
    sizes = len(experiment), len(control)
    if min(sizes) == 0:
        return False
    shifts = np.sort((experiment[:, None] - control[None, :]).ravel())
    pairs = sizes[0] * sizes[1]
    half = QUANTILE * np.sqrt(pairs * (sum(sizes) + 1) / 12.0)
    beyond = int(np.floor(pairs / 2.0 - half))
    if beyond < 0:
        return False  # so few values never reach this confidence
    upper = shifts[pairs - 1 - beyond]
    return bool(upper < -TOLERANCE * abs(float(np.median(shifts))))


def kayenta(canary: Floats, stable: Floats, judgements: int) -> Ends:
    """Judge values (runs, windows of 200 requests) of both arms."""
    per_judgement = REQUESTS // PER_VALUE // judgements
    low = np.array(
        [
            [
                is_low(mine[: per_judgement * (index + 1)], other[: per_judgement * (index + 1)])
                for index in range(judgements)
            ]
            for mine, other in zip(canary, stable, strict=True)
        ]
    )
    last = np.zeros_like(low)
    last[:, -1] = True
    labels = REQUESTS / judgements * np.arange(1.0, judgements + 1.0)
    return Ends.first(last, low, labels)
