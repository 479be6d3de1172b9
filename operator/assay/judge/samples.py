"""Whether the rows that were counted are the rows that should have been: shares and coverage.

The e-value for multinomial counts with known probabilities holds at every look; independent strata
multiply. Reference: Lindon, Malek, Anytime-valid inference for multinomial count data (2022).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from assay.evidence.counts import Evidence
from assay.judge import reasons
from assay.judge.verdict import MetricSpec
from assay.judge.wording import count, percent

ALARM = 1000.0
"""E-value at which a mismatch is taken as proven: at most one false alarm in a thousand trials."""

CONCENTRATION = 100.0
"""Rows that the prior is worth: how small a mismatch it looks for first."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """Something wrong with the sample.

    Attributes
    ----------
    reason, message
        A constant of `reasons`, and words.
    blocks_rollback
        Whether it also forbids to go back.
    """

    reason: str
    message: str
    blocks_rollback: bool


def log_e_mismatch(
    counts: Sequence[Values | float] | Values, shares: Sequence[Values | float] | Values
) -> Values:
    """Log e-value against ``counts ~ multinomial(shares)``.

    Parameters
    ----------
    counts
        One array (...) per category.
    shares
        Chances > 0 that sum to 1: the same, or one number per category.
    """
    rows, parts = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    parts = parts.reshape(parts.shape + (1,) * (rows.ndim - parts.ndim))
    prior = CONCENTRATION * parts
    each = gammaln(prior + rows) - gammaln(prior) - rows * np.log(parts)
    total: Values = (
        math.lgamma(CONCENTRATION) - gammaln(CONCENTRATION + rows.sum(axis=0)) + each.sum(axis=0)
    )
    return total


def findings(
    evidence: Evidence, min_coverage: float, metrics: Sequence[MetricSpec]
) -> list[Finding]:
    """Find what is wrong with the sample, most serious first; empty when nothing is."""
    found = (
        _coverage_low(evidence, min_coverage),
        _depends_on_prediction(evidence, metrics),
        _ratio_mismatch(evidence),
        _coverage_mismatch(evidence),
    )
    return [finding for finding in found if finding is not None]


def _coverage_low(evidence: Evidence, minimum: float) -> Finding | None:
    if minimum <= 0.0:
        return None
    for name, labelled, served in zip(
        ("stable", "the canary"), evidence.labelled, evidence.served, strict=True
    ):
        if labelled == 0 or labelled >= minimum * served > 0:
            continue  # without any label the metrics themselves hold, and say so
        known = (
            f"{count(labelled)} of {count(served)} rows ({percent(labelled / served)})"
            if served
            else f"{count(labelled)} rows, and how many were served is not known"
        )
        return Finding(
            reasons.LABEL_COVERAGE_LOW,
            f"{name} has labels for {known}; at least {percent(minimum)} must have one",
            blocks_rollback=True,
        )
    return None


def _depends_on_prediction(evidence: Evidence, metrics: Sequence[MetricSpec]) -> Finding | None:
    """Labels that come back for some predicted classes only leave recall unknown (statistics 2e).

    Precision alone is not touched: it asks only about rows of one predicted class. With weights the
    choice of rows is known, and accounted for.
    """
    if all(spec.type == "Precision" for spec in metrics):
        return None
    arms = [
        arm
        for each in evidence.strata
        for arm in (each.stable, each.canary)
        if arm.weighted is None and len(arm.served_as) > 1 and arm.labelled
    ]
    if not arms:
        return None
    names = list(arms[0].labels)
    labelled = np.array([arm.confusion.sum(axis=0) for arm in arms], dtype=np.float64)
    served = np.array([[arm.served_as.get(name, 0) for name in names] for arm in arms])
    # Labels and rows come from different scrapes: there are no more labels than rows.
    rows = np.maximum(served, labelled)
    shares = np.maximum(rows / rows.sum(axis=1, keepdims=True), 1e-12)
    counts = labelled * np.array([[_independent(arm.served, arm.requests)] for arm in arms])
    if float(log_e_mismatch(counts.T, shares.T).sum()) < math.log(ALARM):
        return None
    rates = labelled.sum(axis=0) / np.maximum(rows.sum(axis=0), 1.0)
    seen = np.nonzero(rows.sum(axis=0) > 0.0)[0]
    low, high = (int(seen[choose(rates[seen])]) for choose in (np.argmin, np.argmax))
    return Finding(
        reasons.LABELS_DEPEND_ON_PREDICTION,
        f"labels came back for {percent(rates[high])} of the rows predicted {names[high]!r} and "
        f"for {percent(rates[low])} of those predicted {names[low]!r}: what is not labelled is "
        "not known; label a random part of all rows and send the probability with each label",
        blocks_rollback=True,
    )


def _ratio_mismatch(evidence: Evidence) -> Finding | None:
    # What a gateway draws lots for: users where the split is sticky, else requests; the rows of
    # one go the same way.
    strata = [each for each in evidence.strata if each.weight is not None]
    sticky = any(each.stable.users + each.canary.users for each in strata)
    kind = "users" if sticky else "requests"
    units = np.array(
        [
            (each.stable.users, each.canary.users)
            if sticky
            else (each.stable.requests, each.canary.requests)
            for each in strata
        ],
        dtype=np.float64,
    ).reshape(-1, 2)
    asked = np.array([each.weight for each in strata], dtype=np.float64)
    log_e = float(log_e_mismatch(units.T, (1.0 - asked, asked)).sum())
    if log_e < math.log(ALARM):
        return None
    total = units.sum()
    return Finding(
        reasons.SAMPLE_RATIO_MISMATCH,
        f"the canary answered {count(units[:, 1].sum())} of {count(total)} {kind} "
        f"({percent(units[:, 1].sum() / total)}), the routes were asked for "
        f"{percent((units.sum(axis=1) @ asked) / total)}: {kind} go where they should not",
        blocks_rollback=False,
    )


def _coverage_mismatch(evidence: Evidence) -> Finding | None:
    pairs = [
        (each.stable, each.canary)
        for each in evidence.strata
        if min(each.stable.served, each.canary.served) > 0
    ]
    served, labelled, requests = (
        np.array(
            [(getattr(s, name), getattr(c, name)) for s, c in pairs], dtype=np.float64
        ).reshape(-1, 2)
        for name in ("served", "labelled", "requests")
    )
    total = served.sum(axis=1)
    share = served[:, 1] / total
    asked = requests.sum(axis=1)
    # Rows of one request tend to be labelled together: they count as one.
    independent = np.where(asked > 0.0, np.minimum(1.0, asked / total), 1.0)
    counts = labelled * independent[:, None]
    log_e = float(log_e_mismatch(counts.T, (1.0 - share, share)).sum())
    if log_e < math.log(ALARM):
        return None
    labels, rows = evidence.labelled, evidence.served
    return Finding(
        reasons.LABEL_COVERAGE_MISMATCH,
        f"labels came back for {percent(labels[0] / rows[0])} of stable's rows and "
        f"{percent(labels[1] / rows[1])} of the canary's: the labelled rows are not comparable",
        blocks_rollback=False,
    )


def _independent(rows: int, requests: int) -> float:
    """Rows of one request tend to be labelled together: they count as one."""
    return min(1.0, requests / rows) if rows and requests else 1.0
