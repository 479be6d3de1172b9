"""Whether the rows that were counted are the rows that should have been: shares and coverage.

The e-value for multinomial counts with known probabilities holds at every look; independent strata
multiply. Reference: Lindon, Malek, Anytime-valid inference for multinomial count data (2022).
"""

import math
from dataclasses import dataclass

from assay.evidence.counts import Evidence
from assay.judge import reasons
from assay.judge.wording import count, percent

ALARM = 1000.0
"""E-value at which a mismatch is taken as proven: at most one false alarm in a thousand trials."""

CONCENTRATION = 100.0
"""Rows that the prior is worth: how small a mismatch it looks for first."""


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


def log_e_mismatch(counts: tuple[float, float], shares: tuple[float, float]) -> float:
    """Log e-value against ``counts ~ multinomial(shares)``; `shares` > 0 sum to 1."""
    total = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + sum(counts))
    for rows, share in zip(counts, shares, strict=True):
        prior = CONCENTRATION * share
        total += math.lgamma(prior + rows) - math.lgamma(prior) - rows * math.log(share)
    return total


def findings(evidence: Evidence, min_coverage: float) -> list[Finding]:
    """Find what is wrong with the sample, most serious first; empty when nothing is."""
    found = (
        _coverage_low(evidence, min_coverage),
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


def _ratio_mismatch(evidence: Evidence) -> Finding | None:
    # Requests are what a gateway draws lots for; the rows of one request go the same way.
    log_e, asked, served, canary = 0.0, 0.0, 0, 0
    for stratum in evidence.strata:
        if stratum.weight is None:
            continue
        requests = stratum.stable.requests, stratum.canary.requests
        log_e += log_e_mismatch(requests, (1.0 - stratum.weight, stratum.weight))
        asked += sum(requests) * stratum.weight
        served += sum(requests)
        canary += requests[1]
    if log_e < math.log(ALARM):
        return None
    return Finding(
        reasons.SAMPLE_RATIO_MISMATCH,
        f"the canary answered {count(canary)} of {count(served)} requests "
        f"({percent(canary / served)}), the routes were asked for {percent(asked / served)}: "
        "requests go where they should not",
        blocks_rollback=False,
    )


def _coverage_mismatch(evidence: Evidence) -> Finding | None:
    log_e = 0.0
    for stratum in evidence.strata:
        served = stratum.stable.served, stratum.canary.served
        if min(served) > 0:
            share = served[1] / sum(served)
            # Rows of one request tend to be labelled together: they count as one.
            requests = stratum.stable.requests + stratum.canary.requests
            independent = min(1.0, requests / sum(served)) if requests else 1.0
            labelled = stratum.stable.labelled, stratum.canary.labelled
            log_e += log_e_mismatch(
                (labelled[0] * independent, labelled[1] * independent), (1.0 - share, share)
            )
    if log_e < math.log(ALARM):
        return None
    labelled, rows = evidence.labelled, evidence.served
    return Finding(
        reasons.LABEL_COVERAGE_MISMATCH,
        f"labels came back for {percent(labelled[0] / rows[0])} of stable's rows and "
        f"{percent(labelled[1] / rows[1])} of the canary's: the labelled rows are not comparable",
        blocks_rollback=False,
    )
