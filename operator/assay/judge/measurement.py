"""The difference of the arms and its variances, from one set of counts: no test yet.

Works on R looks at once; arrays are (R,) unless said otherwise. Differences are canary less stable
in the metric's own units; *gain* is the same with the sign that makes a better canary positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.judge import strata
from assay.judge.looks import Pairs, Part, Parts
from assay.judge.metrics.metric import (
    Bools,
    Component,
    Floats,
    Guards,
    anywhere,
    block_sums,
)
from assay.judge.verdict import MetricSpec, Policy

ROUNDING = 1e-20
"""Part of the credible variance below which the specified one is but rounding: it is that of a
perfect ranking, and whether it comes out as 0 or as 1e-32 is chance."""


LEAST_FREEDOM = 8.0
"""Effective number of user groups below which the variance between them is not known."""

LEAST_BATCHES = 20
"""Time batches below which the variance between them is not known (statistics 2g)."""

PRESUMED_EFFECT = 4.0
"""Design effect as long as it is not known and will be: of ten requests per user (statistics 2g)."""


@dataclass(frozen=True)
class Shares:
    """How the error chance of one metric's rollback is split over its tests; sums to at most 1.

    Attributes
    ----------
    whole
        The asymptotic test of all counts since the trial began.
    exact
        The exact test of the same.
    floor, late, members
        The floor's, the restarted and the per-member tests, 0 where there is none to make.
    """

    whole: float
    exact: float
    floor: float
    late: float
    members: float

    @classmethod
    def of(cls, spec: MetricSpec, policy: Policy) -> "Shares":
        """Give each test that is asked for its share, the whole what is left: .8 alone, .5 of all.

        Shares follow from the settings and not from what a look holds: they last the whole trial.
        """
        floor = 0.0 if spec.floor is None else 0.1
        late = 0.1 if policy.since_moments else 0.0
        members = 0.1 if policy.by_member else 0.0
        return cls(0.8 - floor - late - members, 0.2, floor, late, members)


@dataclass(frozen=True)
class Borders:
    """Where the nulls are, and how often each test may err.

    Attributes
    ----------
    better
        1 where larger values are better, -1 for losses and costs.
    promote_shift, rollback_shift
        Distances of the nulls from no difference, >= 0.
    promote_alpha, rollback_alpha
        Chance of error of each direction, over all looks and tests together.
    shares
        How rollback's is split.
    remembers
        Whether earlier moments will show how rows hang together, so that until then they are not
        taken for independent.
    """

    better: float
    promote_shift: float
    rollback_shift: float
    promote_alpha: float
    rollback_alpha: float
    shares: Shares
    remembers: bool = False

    @cached_property
    def nulls(self) -> Floats:
        """Where stable and the nulls of promotion and rollback lie from stable's value."""
        return np.array(
            [0.0, -self.better * self.promote_shift, -self.better * self.rollback_shift]
        )


@dataclass(frozen=True, eq=False)
class Dependence:
    """How the rows hang together, (R,).

    Attributes
    ----------
    effect
        Design effect: by how much dependence multiplies the variance, >= 1.
    steady
        The same without what a change of the canary in the middle of the trial adds to it: how the
        rows of any part of the trial hang together.
    freedom
        Effective number of user groups that the variance rests on; infinite where it does not.
    presumed
        Whether the design effect is presumed, because it is not known yet.
    """

    effect: Floats
    steady: Floats
    freedom: Floats
    presumed: Bools

    def steadily(self, times: int, shape: tuple[int, ...]) -> "Dependence":
        """Return that of so many parts of each look, side by side in `shape`."""

        def spread(each: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.repeat(each, times).reshape(shape)

        steady = spread(self.steady)
        return Dependence(steady, steady, spread(self.freedom), spread(self.presumed))


@dataclass(frozen=True, eq=False)
class Measured:
    """The difference of the arms, from one set of counts.

    Attributes
    ----------
    stable, canary
        Standardised metric values; NaN where there is none.
    variances
        (V, F, R) of the difference at the border of promotion and of rollback, and of the canary
        alone at the border of its floor where there is one. V is 1, or 2 where what is specified
        is not all that is credible: then the latter is second.
    guards
        Burn-in.
    dependence
        Of the rows; `None` where they are independent.
    parts, both
        What was measured, and the standardised arms of each part.
    margin
        The metric's.
    """

    stable: Floats
    canary: Floats
    variances: Floats
    guards: Guards
    dependence: Dependence | None
    parts: Parts
    both: tuple[strata.Standardised, ...]
    margin: float

    @property
    def difference(self) -> Floats:
        """Canary less stable."""
        return self.canary - self.stable

    @cached_property
    def known(self) -> Bools:
        """Where there is a difference and a variance."""
        # The credible variances are not finite where the specified ones are not.
        known: Bools = np.isfinite(sum(self.variances[-1], self.difference))
        return known

    @property
    def half_width(self) -> Floats:
        """Hard bound of what bins hide in one arm."""
        return self._hidden[0]

    @property
    def resolution(self) -> Floats:
        """Credible bound of what they hide of the difference; where that is small the hard one."""
        return self._hidden[1]

    @property
    def blind(self) -> Bools:
        """Whether no credible bound is to be believed in one of the arms."""
        return self._hidden[2]

    @cached_property
    def _hidden(self) -> tuple[Floats, Floats, Bools]:
        nothing = np.zeros(self.stable.shape)[()]
        half_width = hard = credible = nothing
        blind = self.known & False
        each = list(zip(self.parts, self.both, strict=True))
        for part, both in each:
            width = part.component.half_width(both.shares)
            if width is not None:
                half_width = half_width + part.weight * np.maximum(width[0], width[1])
                hard = hard + part.weight * (width[0] + width[1])
                hidden = part.component.is_blind(both.shares, width)
                blind = blind | hidden[0] | hidden[1]
        # The credible bound is never above the hard one, and dear.
        if half_width is nothing or not anywhere(matters(hard, self.margin)):
            return half_width, hard, blind
        for part, both in each:
            width = part.component.resolution(both.shares)
            if width is not None:
                credible = credible + part.weight * (width[0] + width[1])
        return half_width, credible, blind


def matters(resolution: Floats, margin: float) -> Bools:
    """Whether what bins may hide of the difference matters beside the margin."""
    result: Bools = resolution > margin / 4.0
    return result


def measure(spec: MetricSpec, parts: Parts, borders: Borders) -> Measured:
    """Make the difference of the arms and its variances."""
    measured = [_measure_part(spec, part, borders) for part in parts]
    if len(measured) == 1 and parts[0].weight == 1.0:
        return measured[0]
    weights = [part.weight for part in parts]
    # The classes share rows, so their errors are dependent: the standard error of the mean is at
    # most the mean of the standard errors (statistics 2b), whatever the dependence is.
    deviation = np.zeros_like(measured[0].variances)
    for weight, each in zip(weights, measured, strict=True):
        deviation = deviation + weight * np.sqrt(each.variances)
    guards = measured[0].guards
    for other in measured[1:]:
        guards = guards & other.guards
    total = {
        name: sum(w * getattr(m, name) for w, m in zip(weights, measured, strict=True))
        for name in ("stable", "canary")
    }
    return Measured(
        **total,
        variances=deviation * deviation,
        guards=guards,
        dependence=_of_all([each.dependence for each in measured]),
        parts=parts,
        both=tuple(both for each in measured for both in each.both),
        margin=spec.margin,
    )


def _measure_part(spec: MetricSpec, part: Part, borders: Borders) -> Measured:
    component = part.component
    both = strata.standardise(part)
    (stable, canary), gradient = component.value_and_gradient(
        both.shares, both.smooth, both.effective
    )
    factors = _floors(spec, component, borders, stable, canary)
    variances = _variances(component, both, gradient, factors)
    if part.pairs is not None:
        paired = _paired(component, part.pairs)[:, None]
        own = np.broadcast_to(variances[:, 2:], (len(paired), *variances[:, 2:].shape[1:]))
        variances = np.concatenate([paired, paired, own], axis=1)
    dependence = _dependence(component, part, borders)
    if dependence is not None:
        variances *= dependence.effect
    if len(variances) > 1:
        # Where the specified variance is zero (but for rounding) or not finite only the credible one
        # has a meaning.
        vain = ~(variances[0] > ROUNDING * variances[1])
        np.copyto(variances[0], variances[1], where=vain)
    return Measured(
        stable=stable,
        canary=canary,
        variances=variances,
        guards=component.guards(both.effective[0], both.effective[1]),
        dependence=dependence,
        parts=(part,),
        both=(both,),
        margin=spec.margin,
    )


def _floors(
    spec: MetricSpec, component: Component, borders: Borders, stable: Floats, canary: Floats
) -> Floats:
    """How much wider one row varies at the nulls than as measured, at least 1.

    Returns (2, R) factors of stable's variance at the borders of promotion and rollback, and a
    third of the canary's own where that has a floor.
    """
    of_stable = component.spread(np.add.outer(borders.nulls, stable))
    factors: Floats = of_stable[1:] / of_stable[0]
    if spec.floor is not None:
        measured, floor = component.spread(np.array([canary, 0.0 * canary + spec.floor]))
        factors = np.concatenate([factors, (floor / measured)[None]])
    return np.maximum(1.0, factors)


def _variances(
    component: Component, both: strata.Standardised, gradient: Floats, factors: Floats
) -> Floats:
    """Make the variances of `Measured`, (V, F, R), with the (F, R) `factors` of `_floors`."""
    least = component.least_square(both.effective)
    floors = factors
    if len(factors) > 2:
        floors = np.array([factors[0], factors[1], 0.0 * factors[2]])
    arms = strata.variances(both, gradient, floors, least)
    of_both: Floats = arms[:, :, 0] + arms[:, :, 1]
    if len(factors) > 2:
        of_both[:, 2] = arms[:, 2, 1] * factors[2]
    return of_both


def _paired(component: Component, pairs: Pairs) -> Floats:
    """Variance of the difference over the same rows, (V, R): as specified and as credible.

    A row that moves both versions alike moves the difference not at all (statistics 2c).
    """
    joint = pairs.rows + pairs.pseudo
    counts = np.stack([joint.sum(axis=-1), joint.sum(axis=-2)])
    total = counts.sum(axis=-1)
    shares = counts / total[..., None]
    influence = component.gradient(shares, counts)
    moved = influence[1][..., None, :] - influence[0][..., :, None]
    chances = joint / total[0][..., None, None]
    mean = (chances * moved).sum(axis=(-2, -1))
    plain = ((chances * moved * moved).sum(axis=(-2, -1)) - mean * mean) / total[0]
    least = component.least_square(counts)
    if least is None:
        return np.array([plain])
    held = block_sums(counts[1], component.parts)
    return np.array([plain, np.maximum(plain, (least[1] / held).sum(axis=-1))])


def _dependence(component: Component, part: Part, borders: Borders) -> Dependence | None:
    """Design effect of dependent rows, and on how many groups its estimate rests.

    Both are ratios and hardly depend on the grid of the scores, so the groups may be coarser. As
    long as there are too few time batches for an estimate it is presumed: more of them will come.
    """
    if part.groups is None:
        if not borders.remembers or part.pairs is not None:
            return None
        effect = np.full(part.cells.shape[1:-2], PRESUMED_EFFECT)
        return Dependence(effect, effect, np.inf * effect, effect > 0.0)
    both = strata.standardise(
        Part(component, part.weight, part.groups.sum(axis=-3), groups=part.groups)
    )
    gradient = component.gradient(both.smooth, both.effective)
    arms = strata.variances(both, gradient, np.zeros((1, *part.cells.shape[1:-2])))
    independent = arms[0, 0, 0] + arms[0, 0, 1]
    moved = strata.residuals(both, gradient)
    squares = moved * moved
    total = squares.sum(axis=-1)
    count = (squares > 0.0).sum(axis=-1)
    unbiased = np.where(count > 1, count / np.maximum(count - 1.0, 1.0), np.inf) / independent
    effect = _design_effect(total * unbiased)
    if not part.timed:
        freedom = np.where(total > 0.0, total * total / (squares * squares).sum(axis=-1), 0.0)
        return Dependence(effect, effect, freedom, effect < 0.0)
    # Half the squares of successive differences have the same mean, and one jump is in one of them.
    half = (np.diff(moved, axis=-1) ** 2).sum(axis=-1) / 2.0
    steady = np.minimum(_design_effect(half * unbiased), effect)
    few = count < LEAST_BATCHES
    effect, steady = (
        np.where(few, np.maximum(each, PRESUMED_EFFECT), each) for each in (effect, steady)
    )
    return Dependence(effect, steady, np.inf * effect, few)


def _design_effect(ratio: Floats) -> Floats:
    """Return a ratio of variances as a design effect; 1 where there is none."""
    effect: Floats = np.where(np.isfinite(ratio), np.maximum(1.0, ratio), 1.0)
    return effect


def _of_all(parts: Sequence[Dependence | None]) -> Dependence | None:
    """Return the worst of several parts; of the same rows all know it or none does."""
    known = [each for each in parts if each is not None]
    if not known:
        return None
    return Dependence(
        np.maximum.reduce([each.effect for each in known]),
        np.maximum.reduce([each.steady for each in known]),
        np.minimum.reduce([each.freedom for each in known]),
        np.logical_or.reduce([each.presumed for each in known]),
    )
