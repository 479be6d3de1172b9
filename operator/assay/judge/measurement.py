"""The difference of the arms and its variances, from one set of counts: no test yet.

Works on R looks at once; arrays are (R,) unless said otherwise. Differences are canary less stable
in the metric's own units; *gain* is the same with the sign that makes a better canary positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.judge import strata
from assay.judge.looks import Pairs, Part, Parts
from assay.judge.metrics.metric import Bools, Component, Floats, Guards
from assay.judge.verdict import MetricSpec, Policy


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
    """

    better: float
    promote_shift: float
    rollback_shift: float
    promote_alpha: float
    rollback_alpha: float
    shares: Shares


@dataclass(frozen=True, eq=False)
class Measured:
    """The difference of the arms, from one set of counts.

    Attributes
    ----------
    stable, canary
        Standardised metric values; NaN where there is none.
    variances
        (2, 3, R) of the difference at the border of promotion and of rollback, and of the canary
        alone at the border of its floor; first as specified, then as credible.
    guards
        Burn-in.
    freedom
        Effective number of groups that the variance rests on; `None` for independent rows.
    design_effect
        By how much dependence of the rows multiplies the variance, >= 1; `None` likewise.
    half_width, resolution
        Hard bound of what bins hide in one arm; credible bound for the difference.
    blind
        Whether that bound is not to be believed in one of the arms.
    both
        The standardised arms of each part.
    """

    stable: Floats
    canary: Floats
    variances: Floats
    guards: Guards
    freedom: Floats | None
    design_effect: Floats | None
    half_width: Floats
    resolution: Floats
    blind: Bools
    both: tuple[strata.Standardised, ...]

    @cached_property
    def difference(self) -> Floats:
        """Canary less stable."""
        return self.canary - self.stable

    @cached_property
    def known(self) -> Bools:
        """Where there is a difference and a variance."""
        known: Bools = np.isfinite(self.difference) & np.isfinite(self.variances).all(axis=(0, 1))
        return known


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
        deviation += weight * np.sqrt(each.variances)
    guards = measured[0].guards
    for other in measured[1:]:
        guards = guards & other.guards
    total = {
        name: sum(w * getattr(m, name) for w, m in zip(weights, measured, strict=True))
        for name in ("stable", "canary", "half_width", "resolution")
    }
    return Measured(
        **total,
        variances=deviation * deviation,
        guards=guards,
        freedom=_of_known(np.minimum, [each.freedom for each in measured]),
        design_effect=_of_known(np.maximum, [each.design_effect for each in measured]),
        blind=np.logical_or.reduce([each.blind for each in measured]),
        both=tuple(both for each in measured for both in each.both),
    )


def _measure_part(spec: MetricSpec, part: Part, borders: Borders) -> Measured:
    component = part.component
    both = strata.standardise(part)
    stable, canary = component.value(both.shares)
    floors, alone = _floors(spec, component, borders, stable, canary)
    of_canary, of_stable = _variances(component, both, floors)
    of_canary[:, :2] += of_stable[:, None]
    of_canary[:, 2] *= alone
    if part.pairs is not None:
        of_canary[:, :2] = _paired(component, part.pairs)[:, None]
    effect, freedom = _dependence(component, part)
    variances = of_canary if effect is None else of_canary * effect
    # Where the specified variance is zero or not finite only the credible one has a meaning.
    variances[0] = np.where(variances[0] > 0.0, variances[0], variances[1])
    half_width = component.half_width(both.shares)
    return Measured(
        stable=stable,
        canary=canary,
        variances=variances,
        guards=component.guards(both.effective[0], both.effective[1]),
        freedom=freedom,
        design_effect=effect,
        half_width=np.maximum(*half_width),
        resolution=np.add(*component.resolution(both.shares)),
        blind=np.logical_or(*component.is_blind(both.shares, half_width)),
        both=(both,),
    )


def _floors(
    spec: MetricSpec, component: Component, borders: Borders, stable: Floats, canary: Floats
) -> tuple[Floats, Floats]:
    """How much wider one row varies at the nulls than as measured, at least 1.

    Returns (3, R) factors of stable's variance at the borders of promotion and rollback, and 0; and
    (R,) of the canary's own at the border of its floor.
    """
    floor = canary if spec.floor is None else np.full_like(canary, spec.floor)
    spread = component.spread(
        np.array(
            [
                stable,
                stable - borders.better * borders.promote_shift,
                stable - borders.better * borders.rollback_shift,
                canary,
                floor,
            ]
        )
    )
    factors = np.maximum(1.0, spread[[1, 2, 4]] / spread[[0, 0, 3]])
    alone = factors[2].copy()
    factors[2] = 0.0
    return factors, alone


def _variances(
    component: Component, both: strata.Standardised, floors: Floats
) -> tuple[Floats, Floats]:
    return strata.variances(
        both,
        component.gradient(both.smooth, both.effective),
        component.components(both.shares.shape[-1]),
        floors,
        component.least_square(both.effective),
    )


def _paired(component: Component, pairs: Pairs) -> Floats:
    """Variance of the difference over the same rows, (2, R): as specified and as credible.

    A row that moves both versions alike moves the difference not at all (statistics 2c).
    """
    joint = pairs.rows + pairs.pseudo
    counts = np.stack([joint.sum(axis=-1), joint.sum(axis=-2)])
    total = counts.sum(axis=-1)
    shares = counts / total[..., None]
    influence = component.gradient(shares, counts)
    moved = influence[1][:, None, :] - influence[0][:, :, None]
    chances = joint / total[0][:, None, None]
    mean = (chances * moved).sum(axis=(1, 2))
    plain = ((chances * moved * moved).sum(axis=(1, 2)) - mean * mean) / total[0]
    least = component.least_square(counts)
    if least is None:
        return np.stack([plain, plain])
    parts = component.components(counts.shape[-1])
    held = np.stack([counts[1, :, cells].sum(axis=-1) for cells in parts], axis=-1)
    return np.stack([plain, np.maximum(plain, (least[1] / held).sum(axis=-1))])


def _dependence(component: Component, part: Part) -> tuple[Floats | None, Floats | None]:
    """Design effect of dependent rows, and on how many groups its estimate rests.

    Both are ratios and hardly depend on the grid of the scores, so the groups may be coarser.
    """
    if part.groups is None:
        return None, None
    both = strata.standardise(
        Part(component, part.weight, part.groups.sum(axis=2), groups=part.groups)
    )
    of_canary, of_stable = _variances(component, both, np.zeros((1, part.cells.shape[1])))
    independent = of_canary[0, 0] + of_stable[0]
    moved = strata.residuals(both, component.gradient(both.smooth, both.effective)) ** 2
    total = moved.sum(axis=1)
    count = (moved > 0.0).sum(axis=1)
    freedom = np.where(total > 0.0, total * total / (moved * moved).sum(axis=1), 0.0)
    between = total * np.where(count > 1, count / np.maximum(count - 1.0, 1.0), np.inf)
    effect = np.maximum(1.0, between / independent)
    return np.where(np.isfinite(effect), effect, 1.0), freedom


def _of_known(choose: np.ufunc, values: Sequence[Floats | None]) -> Floats | None:
    """Reduce what several parts know; parts of the same rows all know it or none does."""
    known = [each for each in values if each is not None]
    return choose.reduce(known) if known else None
