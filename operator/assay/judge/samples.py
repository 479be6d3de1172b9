"""Whether the rows that were counted are the rows that should have been: shares and coverage.

The e-value for multinomial counts with known probabilities holds at every look; independent strata
multiply. Reference: Lindon, Malek, Anytime-valid inference for multinomial count data (2022).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.judge import reasons
from assay.judge.verdict import MetricSpec, Policy
from assay.judge.wording import count, percent

ALARM = 1000.0
"""E-value at which a mismatch is taken as proven: at most one false alarm in a thousand trials."""

_LIMIT = math.log(ALARM)

CONCENTRATION = 100.0
"""Rows that the prior is worth: how small a mismatch it looks for first."""

_LOG_GAMMA = math.lgamma(CONCENTRATION)

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
    each = scipy.special.gammaln(prior + rows) - scipy.special.gammaln(prior) - rows * np.log(parts)
    total: Values = (
        _LOG_GAMMA - scipy.special.gammaln(CONCENTRATION + rows.sum(axis=0)) + each.sum(axis=0)
    )
    return total


class Lot(NamedTuple):
    """What the e-value of one pair of counts takes of the share alone.

    Attributes
    ----------
    share
        Of the canary that is to be expected, between 0 and 1.
    prior
        Rows that the prior is worth, of stable and of the canary.
    per_row
        What the logarithm of the likelihood ratio gains with a row of stable, and of the canary.
    constant
        What is added.
    """

    share: float
    prior: tuple[float, float]
    per_row: tuple[float, float]
    constant: float

    @classmethod
    def of(cls, share: float) -> "Lot":
        """Prepare the test of one share."""
        first, second = CONCENTRATION * (1.0 - share), CONCENTRATION * share
        constant = _LOG_GAMMA - math.lgamma(first) - math.lgamma(second)
        per_row = -math.log(1.0 - share), -math.log(share)
        return cls(share, (first, second), per_row, constant)


_asked = functools.lru_cache(maxsize=256)(Lot.of)
"""Of the shares that routes were asked for: a rollout has few, and looks at them all the time."""

Pair = tuple[float, float, Lot]
"""Counts of stable and of the canary, and of the canary's share that is to be expected."""


def findings(evidence: Evidence, policy: Policy, metrics: Sequence[MetricSpec]) -> list[Finding]:
    """Find what is wrong with the sample, most serious first; empty when nothing is."""
    weighted = [each for each in evidence.strata if each.weight is not None]
    sticky = policy.by_user or any(each.stable.users + each.canary.users for each in weighted)
    names, split = [each.name for each in weighted], _split(weighted, sticky=sticky)
    log_e = log_e_of_users(names, split) if sticky else log_e_of_pairs(split)
    served = [each for each in evidence.strata if each.stable.served and each.canary.served]
    found = (
        _users_unknown(evidence) if policy.by_user else None,
        _coverage_low(evidence, policy.min_label_coverage),
        _depends_on_prediction(evidence, metrics),
        _ratio_mismatch(names, split, "users" if sticky else "requests")
        if log_e >= _LIMIT
        else None,
        _coverage_mismatch(evidence, served)
        if log_e_of_pairs([_labels(each) for each in served]) >= _LIMIT
        else None,
    )
    return [finding for finding in found if finding is not None]


def log_e_of_pairs(pairs: Sequence[Pair]) -> float:
    """Log e-value of pairs of counts, as `log_e_mismatch`; in plain floats, for a verdict waits for it."""
    log_gamma = math.lgamma
    total = 0.0
    for stable, canary, lot in pairs:
        (first, second), (of_stable, of_canary) = lot.prior, lot.per_row
        total += (
            (log_gamma(first + stable) + stable * of_stable)
            + (log_gamma(second + canary) + canary * of_canary)
            + (lot.constant - log_gamma(CONCENTRATION + stable + canary))
        )
    return total


def log_e_of_users(names: Sequence[str], split: Sequence[Pair]) -> float:
    """Log e-value of users over all strata.

    A user has one lot for all steps of a member, so those are not independent: what chance did at
    the first is there again at the next. A mean of e-values is one whatever their dependence, their
    product only of independent ones, as members are.
    """
    steps: dict[str, list[float]] = {}
    for name, pair in zip(names, split, strict=True):
        steps.setdefault(name.rpartition("/")[0], []).append(log_e_of_pairs([pair]))
    return sum(float(np.logaddexp.reduce(each)) - math.log(len(each)) for each in steps.values())


def _users_unknown(evidence: Evidence) -> Finding | None:
    """Labelled rows without a user: how much rows of one user go together is not known then."""
    for of in ("stable", "canary"):
        arms: list[ArmCounts] = [getattr(each, of) for each in evidence.strata]
        labelled = sum(int(arm.confusion.sum()) for arm in arms)
        named = sum(int(arm.buckets.confusion.sum()) for arm in arms if arm.buckets is not None)
        words = "stable" if of == "stable" else "the canary"
        if named < labelled:
            return Finding(
                reasons.USERS_UNKNOWN,
                f"{count(labelled - named)} of {count(labelled)} labelled rows of {words} do not say "
                "whose they are: its model server or the ledger is older than stickyBy, or the model "
                "has more than ten classes, which are not counted by user",
                blocks_rollback=True,
            )
        if labelled and not any(arm.users for arm in arms):
            return Finding(
                reasons.USERS_UNKNOWN,
                f"{words} has {count(labelled)} labelled rows, and its servers have told the ledger "
                "of no user: whether the split is as asked cannot be seen",
                blocks_rollback=False,
            )
    return None


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
    found = [
        (words, each, arm)
        for each in evidence.strata
        for words, arm in (("stable", each.stable), ("the canary", each.canary))
        if len(arm.served_as) > 1 and arm.weighted is None and arm.labelled
    ]
    if not found:
        return None
    arms = [arm for *_, arm in found]
    names = list(arms[0].labels)
    labelled = np.array([arm.confusion.sum(axis=0) for arm in arms], dtype=np.float64)
    served = np.array([[arm.served_as.get(name, 0) for name in names] for arm in arms])
    # Labels and rows come from different scrapes: there are no more labels than rows.
    rows = np.maximum(served, labelled)
    shares = np.maximum(rows / rows.sum(axis=1, keepdims=True), 1e-12)
    counts = labelled * np.array([[_independent(arm.served, arm.requests)] for arm in arms])
    log_e = log_e_mismatch(counts.T, shares.T)
    if float(log_e.sum()) < _LIMIT:
        return None
    # What is opposite in two of them would not be seen in their sum.
    worst = int(np.argmax(log_e))
    words, stratum, _ = found[worst]
    back, of = labelled[worst], rows[worst]
    rates = back / np.maximum(of, 1.0)
    seen = np.nonzero(of > 0.0)[0]
    low, high = (int(seen[choose(rates[seen])]) for choose in (np.argmin, np.argmax))
    return Finding(
        reasons.LABELS_DEPEND_ON_PREDICTION,
        f"labels came back for {count(back[high])} of {count(of[high])} rows of {words}"
        f"{_place(evidence, stratum)} predicted {names[high]!r} ({percent(rates[high])}) and for {count(back[low])} of "
        f"{count(of[low])} predicted {names[low]!r} ({percent(rates[low])}): what is not labelled "
        "is not known; label a random part of all rows and send the probability with each label",
        blocks_rollback=True,
    )


def _split(strata: Sequence[Stratum], *, sticky: bool) -> list[Pair]:
    """Return what a gateway draws lots for: users where the split is sticky, else requests.

    The rows of one go the same way.
    """
    return [
        (each.stable.users, each.canary.users, _asked(each.weight or 0.0))
        if sticky
        else (each.stable.requests, each.canary.requests, _asked(each.weight or 0.0))
        for each in strata
    ]


def _ratio_mismatch(names: Sequence[str], split: Sequence[Pair], kind: str) -> Finding:
    """Say how far off the canary's share is, of all and in the worst of several strata.

    Too much in one may make up for too little in another.
    """
    units = np.array([(stable, canary, lot.share) for stable, canary, lot in split])
    total = units[:, :2].sum(axis=1)
    canary = units[:, 1].sum()
    worst = ""
    if len(split) > 1:
        at = max(range(len(split)), key=lambda index: log_e_of_pairs([split[index]]))
        own, its, share = units[at, 1], total[at], units[at, 2]
        worst = (
            f", most amiss in {names[at]} with {count(own)} of {count(its)} "
            f"({percent(own / its)}) for {percent(share)}"
        )
    return Finding(
        reasons.SAMPLE_RATIO_MISMATCH,
        f"the canary answered {count(canary)} of {count(total.sum())} {kind} "
        f"({percent(canary / total.sum())}), the routes were asked for "
        f"{percent((total @ units[:, 2]) / total.sum())}{worst}: {kind} go where they should not",
        blocks_rollback=False,
    )


def _labels(stratum: Stratum) -> Pair:
    """Return the labels that came back, which should be the same share of both arms' rows."""
    stable, canary = stratum.stable, stratum.canary
    served = stable.served + canary.served
    part = _independent(served, stable.requests + canary.requests)
    return part * stable.labelled, part * canary.labelled, Lot.of(canary.served / served)


def _coverage_mismatch(evidence: Evidence, served: Sequence[Stratum]) -> Finding:
    """Say how far the arms are apart where they are most: opposites would not show in a sum."""
    worst = max(served, key=lambda each: log_e_of_pairs([_labels(each)]))
    stable, canary = worst.stable, worst.canary
    return Finding(
        reasons.LABEL_COVERAGE_MISMATCH,
        f"labels came back for {count(stable.labelled)} of {count(stable.served)} rows of stable "
        f"({percent(stable.labelled / stable.served)}) and for {count(canary.labelled)} of "
        f"{count(canary.served)} of the canary ({percent(canary.labelled / canary.served)})"
        f"{_place(evidence, worst)}: the labelled rows are not comparable",
        blocks_rollback=False,
    )


def _place(evidence: Evidence, stratum: Stratum) -> str:
    """Name a stratum where there are several."""
    return f" in {stratum.name}" if len(evidence.strata) > 1 else ""


def _independent(rows: int, requests: int) -> float:
    """Rows of one request tend to be labelled together: they count as one."""
    return min(1.0, requests / rows) if rows and requests else 1.0
