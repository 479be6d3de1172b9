"""Every test of one metric, at R looks at once: e-values and what passes. No verdict yet.

Nulls: promotion rejects ``gain <= -promote_shift``, rollback rejects ``gain >= -rollback_shift``
(see `measurement`). Arrays are (R,) unless said otherwise.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.judge import eprocess, exact
from assay.judge.looks import Looks, Parts
from assay.judge.measurement import Borders, Measured, measure
from assay.judge.metrics.metric import Bools, Floats
from assay.judge.verdict import MetricSpec

FAINT = 1.5
"""Standard errors below which the exact test for rollback is not asked: it needs 3 at the least."""

LEAST_FREEDOM = 8.0
"""Effective number of user groups below which the variance between them is not known."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """One e-process at R looks.

    Attributes
    ----------
    log_e
        Log e-value with the specified variance.
    cautious
        The same with the variance that the number of labels makes credible; never larger in what
        it lets happen. It differs only for near-perfect rankings and coarse bins.
    limit
        What both must reach.
    variance
        The specified variance, from which the display band follows.
    """

    log_e: Floats
    cautious: Floats
    limit: float
    variance: Floats

    @property
    def passes(self) -> Bools:
        """Whether both variances reach the limit."""
        return np.minimum(self.log_e, self.cautious) >= self.limit

    @property
    def held_back(self) -> Bools:
        """Whether only the cautious variance is in the way."""
        return (self.cautious < self.limit) & (self.limit <= self.log_e)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything the verdict of one metric rests on.

    Attributes
    ----------
    measured
        Of all counts since the trial began.
    promote, rollback
        The two asymptotic tests of them.
    exact_promotes, exact_rolls_back, below_floor
        Whether the exact tests and the floor's have reached their limits.
    late, latest
        Whether the restarted test rolls back, and which restart weighs most.
    members
        (members, R): whether the test of that member alone rolls back.
    """

    measured: Measured
    promote: Outcome
    rollback: Outcome
    exact_promotes: Bools
    exact_rolls_back: Bools
    below_floor: Bools
    late: Bools
    latest: Floats
    members: Bools

    @cached_property
    def in_force(self) -> Bools:
        """Whether the rollback test may decide: past burn-in, with users enough."""
        return _in_force(self.measured)

    def is_coarse(self, margin: float) -> Bools:
        """Whether what the bins may hide forbids to promote."""
        return _matters(self.measured.resolution, margin) | self.measured.blind


def compare(spec: MetricSpec, looks: Looks, borders: Borders) -> Comparison:
    """Ask every test of one metric at R looks. Where there is no value nothing passes."""
    shares = borders.shares
    with np.errstate(all="ignore"):
        found = measure(spec, looks.parts, borders)
        gain = borders.better * found.difference
        late, latest = _late(spec, looks, borders, shares.late)
        promote, rollback = _tests(spec, found, borders, gain, shares.whole)
        decided = found.guards.rollback & rollback.passes
        worse = -gain - borders.rollback_shift
        # Where not even a fixed-sample test sees anything, the second net does not either.
        seen = worse > FAINT * np.sqrt(rollback.variance)
        promoted, rolled_back = _exact(
            looks.parts,
            found,
            borders,
            (found.guards.near_perfect, seen & ~decided),
            (borders.promote_alpha * (1.0 - eprocess.SHARP), borders.rollback_alpha * shares.exact),
        )
        return Comparison(
            measured=found,
            promote=promote,
            rollback=rollback,
            exact_promotes=promoted,
            exact_rolls_back=rolled_back,
            below_floor=_below_floor(spec, looks.parts, found, borders, shares.floor),
            late=late,
            latest=latest,
            members=_members(spec, looks, borders, shares.members),
        )


def _tests(
    spec: MetricSpec, found: Measured, borders: Borders, gain: Floats, share: float
) -> tuple[Outcome, Outcome]:
    """Ask the promotion and the rollback test, each with both variances."""
    slack = np.where(_matters(found.resolution, spec.margin), found.resolution, 0.0)
    promote, rollback = gain + borders.promote_shift, -gain - borders.rollback_shift
    dist = np.array([[promote, promote], [rollback, rollback - slack]])
    variances = found.variances[:, :2].swapaxes(0, 1)
    log_e = eprocess.BOTH.log_e(dist, variances, spec.margin)
    limits = -math.log(borders.promote_alpha), -math.log(borders.rollback_alpha * share)
    return (
        Outcome(log_e[0, 0], log_e[0, 1], limits[0], variances[0, 0]),
        Outcome(log_e[1, 0], log_e[1, 1], limits[1], variances[1, 0]),
    )


def _matters(resolution: Floats, margin: float) -> Bools:
    """Whether what bins may hide of the difference matters beside the margin."""
    matters: Bools = resolution > margin / 4.0
    return matters


def _exact(
    parts: Parts,
    found: Measured,
    borders: Borders,
    wanted: tuple[Bools, Bools],
    alphas: tuple[float, float],
) -> tuple[Bools, Bools]:
    """Whether the exact tests promote and roll back, at the looks where that is `wanted`.

    Never for sums of weights or several parts, which are no Bernoulli streams, nor for pairs, which
    are not independent.
    """
    passed = np.zeros(found.known.shape, dtype=bool), np.zeros(found.known.shape, dtype=bool)
    part = parts[0]
    link = part.component.link()
    if len(parts) > 1 or link is None or part.squares is not None or part.pairs is not None:
        return passed
    streams = part.component.stream(found.both[0].effective)
    if streams is None:
        return passed
    tests = (
        (exact.log_e_not_worse, borders.promote_shift),
        (exact.log_e_worse, borders.rollback_shift),
    )
    for index, (test, shift) in enumerate(tests):
        looks = wanted[index] & found.known
        if looks.any():
            hits, rows = (_independent(each, found)[:, looks] for each in streams)
            limit = -math.log(alphas[index])
            log_e = test((hits[1], rows[1]), (hits[0], rows[0]), link, shift, limit)
            passed[index][looks] = log_e >= limit
    return passed


def _independent(rows: Floats, found: Measured) -> Floats:
    """Return how many independent rows know as much as these."""
    return rows if found.design_effect is None else rows / found.design_effect


def _below_floor(
    spec: MetricSpec, parts: Parts, found: Measured, borders: Borders, share: float
) -> Bools:
    """Whether the canary is proven beyond its floor: exactly where possible, else past burn-in."""
    no = np.zeros(found.canary.shape, dtype=bool)
    if spec.floor is None or share <= 0.0:
        return no
    limit = -math.log(borders.rollback_alpha * share)
    beyond = found.known & (borders.better * (found.canary - spec.floor) < 0.0)
    part = parts[0]
    link = part.component.link() if len(parts) == 1 and part.squares is None else None
    stream = part.component.stream(found.both[0].effective[1])
    if link is not None and stream is not None:
        hits, rows = (_independent(each, found) for each in stream)
        log_e = exact.log_e_below((hits, rows), link, borders.better * spec.floor)
        return beyond & (log_e >= limit)
    dist = -borders.better * (found.canary - spec.floor)
    log_e = eprocess.PROMOTE.log_e(dist, found.variances[1, 2], spec.margin)
    return beyond & found.guards.rollback & (log_e >= limit)


def _late(spec: MetricSpec, looks: Looks, borders: Borders, share: float) -> tuple[Bools, Floats]:
    """Whether the counts since some later moment prove the canary worse, and since which.

    A mixture of e-processes that start at fixed later moments is an e-process again: one that has
    not started yet is 1.
    """
    shape = looks.parts[0].cells.shape[1]
    if share <= 0.0 or looks.restart_weights is None or not looks.restarts:
        return np.zeros(shape, dtype=bool), np.zeros(shape)
    found = measure(spec, looks.restarts, borders)
    gain = borders.better * found.difference
    _, outcome = _tests(spec, found, borders, gain, share)
    log_e = np.minimum(outcome.log_e, outcome.cautious)
    usable = found.known & _in_force(found)
    log_e = np.where(usable, log_e, -np.inf).reshape(shape, -1)
    terms = np.log(looks.restart_weights) + log_e
    total = np.logaddexp.reduce(terms, axis=1)
    return total >= outcome.limit, np.argmax(terms, axis=1).astype(np.float64)


def _members(spec: MetricSpec, looks: Looks, borders: Borders, share: float) -> Bools:
    """Whether one member's own counts prove the canary worse there; they share the error chance."""
    shape = looks.parts[0].cells.shape[1]
    rows = []
    for parts in looks.members.values() if share > 0.0 else ():
        found = measure(spec, parts, borders)
        gain = borders.better * found.difference
        _, outcome = _tests(spec, found, borders, gain, share / len(looks.members))
        rows.append(found.known & _in_force(found) & outcome.passes)
    return np.array(rows) if rows else np.zeros((0, shape), dtype=bool)


def _in_force(found: Measured) -> Bools:
    if found.freedom is None:
        return found.guards.rollback
    return found.guards.rollback & (found.freedom >= LEAST_FREEDOM)
