"""Why a metric decides as it does, in words with the numbers that decided."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from assay.judge import reasons
from assay.judge.comparison import Proof, asks_exactly
from assay.judge.decision import Decisions, borders, hoped_for
from assay.judge.looks import Looks, Parts
from assay.judge.measurement import (
    LEAST_BATCHES,
    LEAST_FREEDOM,
    PRESUMED_EFFECT,
    Borders,
    Measured,
    measure,
)
from assay.judge.metrics import Metric, NoValue, metric_of
from assay.judge.metrics.metric import HARD_WIDTH
from assay.judge.verdict import MetricSpec, Policy, PromoteOn, RollbackOn
from assay.judge.wording import count, decimal, percent


class Values(NamedTuple):
    """What was measured of one metric, with the band of the difference."""

    stable: float
    canary: float
    difference: float
    lower: float
    upper: float


def seen(metric: Metric, policy: Policy, values: Values, labelled: tuple[int, int]) -> str:
    """Say what was measured: values, difference, band, labels of (stable, canary)."""
    return (
        f"{metric.name} of the canary is {decimal(values.canary)} against "
        f"{decimal(values.stable)} of stable (difference {decimal(values.difference)}, "
        f"{percent(policy.confidence)} band {decimal(values.lower)} .. {decimal(values.upper)}, "
        f"{count(labelled[1])} and {count(labelled[0])} labels)"
    )


def no_value(looks: Looks) -> NoValue:
    """Say why there is no difference."""
    for part in looks.parts:
        for name, cells in zip(("stable version", "canary"), part.cells, strict=True):
            total = cells.sum(axis=0)
            with np.errstate(all="ignore"):
                value = part.component.value(total)
            if not np.isfinite(value):
                return part.component.undefined(name, total)
    return NoValue(
        reasons.NO_LABELS, "no stratum has labels of both versions: nothing to compare yet"
    )


def explain(
    spec: MetricSpec,
    policy: Policy,
    looks: Looks,
    decided: Decisions,
    reason: str,
    restarts: Sequence[float],
) -> tuple[str, str]:
    """Return the reason, made precise where it stands for several, and the last part of the message."""
    if reason == reasons.BURN_IN:
        return _burn_in(looks, decided)
    if reason in {reasons.WORSE, reasons.WORSE_THAN_MARGIN}:
        asymptotic = decided.past_burn_in and decided.comparison.rollback.passes
        exact = decided.comparison.exact_rollback
        words = _worse(spec, policy) + ("" if asymptotic else _by("the exact test", exact))
    elif reason == reasons.WORSE_LATELY:
        words = _lately(spec, policy, looks, decided, restarts)
    elif reason == reasons.WORSE_IN_MEMBER:
        words = _in_member(spec, policy, looks, decided)
    elif reason in {reasons.FLOOR_BREACHED, reasons.FLOOR_BREACHED_BY_BOTH}:
        words = _floor(spec, reason) + _by("the floor's test", decided.comparison.floor)
    elif reason in {reasons.NOT_WORSE, reasons.BETTER}:
        words = "proven better than stable"
        if reason == reasons.NOT_WORSE:
            words = f"proven not worse than stable by {decimal(spec.margin)} or more"
        exact = decided.comparison.exact_promote
        words += _by("the exact test", exact) if exact.passes else ""
    else:
        words = _held(spec, policy, decided, reason)
    return reason, words


def _worse(spec: MetricSpec, policy: Policy) -> str:
    if policy.rollback_on is RollbackOn.WORSE:
        return "proven worse than stable"
    return f"proven worse than stable by more than {decimal(spec.margin)}"


def _lately(
    spec: MetricSpec, policy: Policy, looks: Looks, decided: Decisions, restarts: Sequence[float]
) -> str:
    index = int(decided.comparison.latest)
    found = _measured(spec, policy, looks.restarts)
    return (
        f"{_worse(spec, policy)} since {restarts[index]:.0f} s after the start: "
        f"{decimal(float(found.canary[index]))} against {decimal(float(found.stable[index]))}, "
        f"it was better before{_by('the restarted test', decided.comparison.late)}"
    )


def _in_member(spec: MetricSpec, policy: Policy, looks: Looks, decided: Decisions) -> str:
    members = decided.comparison.members
    index = int(np.nanargmax(members.log_e))
    name, parts = list(looks.members.items())[index]
    found = _measured(spec, policy, parts)
    return (
        f"{_worse(spec, policy)} in {name}: {decimal(float(found.canary))} against "
        f"{decimal(float(found.stable))} there"
        f"{_by('its own test', Proof(members.log_e[index], members.limit))}"
    )


def _by(test: str, proof: Proof) -> str:
    """Say which test it was that decided, where it was not one of the two that are always shown."""
    return f" (by {test}: {float(proof.log_e):.2f} of {proof.limit:.2f})"


def _measured(spec: MetricSpec, policy: Policy, parts: Parts) -> Measured:
    border: Borders = borders(spec, policy, 1)
    with np.errstate(all="ignore"):
        return measure(spec, parts, border)


def _floor(spec: MetricSpec, reason: str) -> str:
    if spec.floor is None:
        raise AssertionError("only asked when there is a floor")
    side, name = ("below", "floor") if metric_of(spec).higher_is_better else ("above", "ceiling")
    proven = f"proven {side} the {name} of {decimal(spec.floor)}"
    if reason == reasons.FLOOR_BREACHED_BY_BOTH:
        return f"{proven}, but stable measures {side} it too: going back would cure nothing"
    return proven


def _burn_in(looks: Looks, decided: Decisions) -> tuple[str, str]:
    guards = decided.comparison.measured.guards
    for part, both in zip(looks.parts, decided.comparison.measured.both, strict=True):
        reason, missing = part.component.missing(both.effective[0], both.effective[1])
        if missing:
            early = "too early to promote" if guards.rollback else "too early to judge"
            rest = ""
            if guards.near_perfect:
                exact = asks_exactly(looks.parts)
                rest = ", so the exact test decides" if exact else ", and no exact test can decide"
            return reason, f"{early}: {missing}{rest}"
    return (
        reasons.BURN_IN,
        "too early to judge: so few labels cannot show so little variation",
    )


def _held(spec: MetricSpec, policy: Policy, decided: Decisions, reason: str) -> str:
    found = decided.comparison
    if reason == reasons.TOO_FEW_USERS and (dependence := found.measured.dependence):
        return (
            f"the labels come from so few users that {dependence.freedom:.0f} independent "
            f"groups are left of them, {LEAST_FREEDOM:.0f} are needed"
        )
    if reason == reasons.BINS_TOO_COARSE:
        hidden = (
            f"up to {_blindness(found.measured):.4f} of one value, at most {HARD_WIDTH:.4f} may "
            "be, for nearly all scores fall into the same bins"
            if found.measured.blind
            else f"{found.measured.resolution:.4f} of the difference, at most "
            f"{spec.margin / 4.0:.4f} may be"
        )
        return (
            f"the score bins may hide {hidden}: too coarse for a margin of {decimal(spec.margin)}"
        )
    if reason == reasons.BELOW_FLOOR:
        side, name = (
            ("below", "floor") if metric_of(spec).higher_is_better else ("above", "ceiling")
        )
        floor, test = spec.floor or 0.0, _by("the floor's test", found.floor)
        return (
            f"{side} the {name} of {decimal(floor)} by {abs(found.measured.canary - floor):.2g}, "
            f"which is not proven yet{test}"
        )
    evidence = (
        f"evidence to promote {float(found.promote.log_e):.2f} of {found.promote.limit:.2f}, "
        f"to roll back {float(found.rollback.log_e):.2f} of {found.rollback.limit:.2f}"
    )
    if reason == reasons.UNDERPOWERED and policy.growth is not None:
        hoped = float(hoped_for(spec, policy.growth, found))
        times = f"{policy.growth:.1f}" if policy.growth < 10.0 else count(policy.growth)
        better = policy.promote_on is PromoteOn.BETTER
        canary = f"a canary better by {decimal(spec.margin)}" if better else "an equal canary"
        return (
            f"at this rate the trial's time is over with {times} times as many labels, "
            f"by which not even {canary} would be promoted (evidence {hoped:.2f} of "
            f"{found.promote.limit:.2f}; now {evidence}): ask for a larger share, a wider margin "
            "or more time"
        )
    return f"undecided, {evidence}{_presumed(found.measured)}"


def _blindness(found: Measured) -> float:
    """Return the most that bins hide of one value among those of which no bound is believed."""
    hidden = 0.0
    for part, both in zip(found.parts, found.both, strict=True):
        width = part.component.half_width(both.shares)
        if width is not None:
            blind = part.component.is_blind(both.shares, width)
            hidden = max(hidden, float(np.max(width, where=blind, initial=0.0)))
    return hidden


def _presumed(found: Measured) -> str:
    """Say so where rows count as fewer because it is not known yet how they hang together."""
    if found.dependence is None or not found.dependence.presumed:
        return ""
    return (
        f", with {PRESUMED_EFFECT:.0f} labels counted as one until {LEAST_BATCHES} earlier "
        "moments show how they hang together"
    )
