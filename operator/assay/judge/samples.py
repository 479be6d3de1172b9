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
    log_e, worst = 0.0, (0.0, "")
    for arm in (arm for each in evidence.strata for arm in (each.stable, each.canary)):
        if arm.weighted is not None or len(arm.served_as) < 2 or not arm.labelled:
            continue
        labelled = dict(zip(arm.labels, arm.confusion.sum(axis=0).tolist(), strict=True))
        # Labels and rows come from different scrapes: no more labels than rows.
        rows = {name: max(n, labelled.get(name, 0)) for name, n in arm.served_as.items()}
        names = [name for name, served in rows.items() if served]
        if len(names) < 2:
            continue
        total = sum(rows.values())
        independent = _independent(arm.served, arm.requests)
        log_e += float(
            log_e_mismatch(
                [labelled.get(name, 0) * independent for name in names],
                [rows[name] / total for name in names],
            )
        )
        rates = {name: labelled.get(name, 0) / rows[name] for name in names}
        low, high = min(rates, key=lambda n: rates[n]), max(rates, key=lambda n: rates[n])
        gap = rates[high] - rates[low]
        if gap > worst[0]:
            words = (
                f"labels came back for {percent(rates[high])} of the rows predicted {high!r} and "
                f"for {percent(rates[low])} of those predicted {low!r}"
            )
            worst = gap, words
    if log_e < math.log(ALARM):
        return None
    return Finding(
        reasons.LABELS_DEPEND_ON_PREDICTION,
        f"{worst[1]}: what is not labelled is not known; label a random part of all rows and send "
        "the probability with each label",
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
