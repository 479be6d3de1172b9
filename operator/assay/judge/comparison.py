"""Every test of one metric, at R looks at once: e-values and what passes. No verdict yet.

Nulls: promotion rejects ``gain <= -promote_shift``, rollback rejects ``gain >= -rollback_shift``
(see `measurement`). Arrays are (R,) unless said otherwise.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from assay.judge import eprocess, exact, strata
from assay.judge.looks import Looks, Parts
from assay.judge.measurement import LEAST_FREEDOM, Borders, Measured, matters, measure
from assay.judge.metrics.metric import Bools, Floats, anywhere
from assay.judge.verdict import MetricSpec

FAINT = 1.5
"""Standard errors below which the exact test for rollback is not asked: it needs 3 at the least."""


class Outcome(NamedTuple):
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
        return (self.log_e >= self.limit) & (self.cautious >= self.limit)

    @property
    def held_back(self) -> Bools:
        """Whether only the cautious variance is in the way."""
        return (self.cautious < self.limit) & (self.limit <= self.log_e)


class Proof(NamedTuple):
    """One of the other tests at R looks.

    Attributes
    ----------
    log_e
        Log e-value; NaN where the test is not asked.
    limit
        What it must reach.
    """

    log_e: Floats
    limit: float

    @property
    def passes(self) -> Bools:
        """Whether it reaches the limit."""
        return self.log_e >= self.limit


class Comparison(NamedTuple):
    """Everything the verdict of one metric rests on.

    Attributes
    ----------
    measured
        Of all counts since the trial began.
    promote, rollback
        The two asymptotic tests of them.
    exact_promote, exact_rollback
        The exact tests of all counts.
    floor
        The test that the canary is beyond its floor.
    late, latest
        The restarted test, and which restart weighs most.
    members
        (members, R): the test of each member alone.
    """

    measured: Measured
    promote: Outcome
    rollback: Outcome
    exact_promote: Proof
    exact_rollback: Proof
    floor: Proof
    late: Proof
    latest: Floats
    members: Proof

    @property
    def in_force(self) -> Bools:
        """Whether the rollback test may decide: past burn-in, with users enough."""
        return _in_force(self.measured)

    def is_coarse(self, margin: float) -> Bools:
        """Whether what the bins may hide forbids to promote."""
        return matters(self.measured.resolution, margin) | self.measured.blind


def compare(spec: MetricSpec, looks: Looks, borders: Borders) -> Comparison:
    """Ask every test of one metric at R looks. Where there is no value nothing passes."""
    shares = borders.shares
    with np.errstate(all="ignore"):
        found = measure(spec, looks.parts, borders)
        late, latest = _late(spec, looks, found, borders, shares.late)
        promote = _promotion(spec, found, borders)
        rollback = _rollback(spec, found, borders, shares.whole)
        exact_promote, exact_rollback = _exact(looks.parts, found, borders, rollback)
        return Comparison(
            measured=found,
            promote=promote,
            rollback=rollback,
            exact_promote=exact_promote,
            exact_rollback=exact_rollback,
            floor=_floor(spec, looks.parts, found, borders, shares.floor),
            late=late,
            latest=latest,
            members=_members(spec, looks, found, borders, shares.members),
        )


def _promotion(spec: MetricSpec, found: Measured, borders: Borders) -> Outcome:
    dist = borders.better * found.difference + borders.promote_shift
    limit = -math.log(borders.promote_alpha)
    return _outcome(eprocess.PROMOTE, (dist, dist), found.variances[:, 0], spec.margin, limit)


def _rollback(spec: MetricSpec, found: Measured, borders: Borders, share: float) -> Outcome:
    """Ask the rollback test; cautiously, what bins may hide is not the canary's fault."""
    dist = cautious = -borders.better * found.difference - borders.rollback_shift
    coarse = matters(found.resolution, spec.margin)
    if anywhere(coarse):
        cautious = dist - np.where(coarse, found.resolution, 0.0)
    limit = -math.log(borders.rollback_alpha * share)
    return _outcome(eprocess.ROLLBACK, (dist, cautious), found.variances[:, 1], spec.margin, limit)


def _outcome(
    test: eprocess.Test,
    dist: tuple[Floats, Floats],
    variances: Floats,
    margin: float,
    limit: float,
) -> Outcome:
    """Ask a test with the specified and with the cautious distance and variance, (V, R)."""
    log_e = cautious = test.log_e(dist[0], variances[0], margin)
    if dist[1] is not dist[0] or len(variances) > 1:
        cautious = test.log_e(dist[1], variances[-1], margin)
    return Outcome(log_e, cautious, limit, variances[0])


def asks_exactly(parts: Parts) -> bool:
    """Whether there are exact tests of a metric's cells.

    Not of several parts or of sums of weights alone, which are no Bernoulli streams; the rows that
    carry the weights are one.
    """
    part = parts[0]
    counted = part.squares is None or part.rows is not None
    return len(parts) == 1 and counted and part.component.link() is not None


def _exact(
    parts: Parts, found: Measured, borders: Borders, rollback: Outcome
) -> tuple[Proof, Proof]:
    """Ask the exact tests for promotion and rollback, at the looks where that is to be done."""
    if not asks_exactly(parts):
        return _not_asked(found.stable.shape), _not_asked(found.stable.shape)
    worse = -borders.better * found.difference - borders.rollback_shift
    # Where not even a fixed-sample test sees anything, the second net does not either.
    seen = worse > FAINT * np.sqrt(rollback.variance)
    return (
        _exact_test(
            found,
            found.known & found.guards.near_perfect,
            exact.log_e_not_worse,
            borders.promote_shift,
            borders.promote_alpha * (1.0 - eprocess.SHARP),
        ),
        _exact_test(
            found,
            found.known & seen & ~(found.guards.rollback & rollback.passes),
            exact.log_e_worse,
            borders.rollback_shift,
            borders.rollback_alpha * borders.shares.exact,
        ),
    )


def _exact_test(
    found: Measured, looks: Bools, test: Callable[..., Floats], shift: float, alpha: float
) -> Proof:
    """Ask one of the exact tests at some `looks`, (R,)."""
    part, both = found.parts[0], found.both[0]
    link = part.component.link() if anywhere(looks) else None
    if link is None:
        return _not_asked(found.stable.shape)
    if part.rows is not None:
        link = link.weighted(part.heaviest)
        both = strata.standardise(part._replace(cells=part.rows, squares=None, groups=None))
    stream = part.component.stream(both.effective)
    if stream is None:
        return _not_asked(found.stable.shape)
    hits, rows = (_independent(each, found) for each in stream)
    if looks.ndim:
        hits, rows = hits[:, looks], rows[:, looks]
    limit = -math.log(alpha)
    log_e = np.full(looks.shape, np.nan)
    log_e[looks] = test(
        (hits[1], rows[1]),
        (hits[0], rows[0]),
        link,
        shift,
        limit,
        same_rows=part.pairs is not None,
    )
    return Proof(log_e, limit)


@functools.lru_cache(maxsize=8)
def _not_asked(shape: tuple[int, ...]) -> Proof:
    return Proof(np.full(shape, np.nan)[()], np.inf)


def _independent(rows: Floats, found: Measured) -> Floats:
    """Return how many independent rows know as much as these."""
    return rows if found.dependence is None else rows / found.dependence.effect


def _floor(
    spec: MetricSpec, parts: Parts, found: Measured, borders: Borders, share: float
) -> Proof:
    """Ask whether the canary is beyond its floor: exactly where possible, else past burn-in."""
    if spec.floor is None or share <= 0.0:
        return _not_asked(found.stable.shape)
    limit = -math.log(borders.rollback_alpha * share)
    beyond = found.known & (borders.better * (found.canary - spec.floor) < 0.0)
    part = parts[0]
    link = part.component.link() if len(parts) == 1 and part.squares is None else None
    stream = part.component.stream(found.both[0].effective[1])
    if link is not None and stream is not None:
        hits, rows = (_independent(each, found) for each in stream)
        log_e = exact.log_e_below((hits, rows), link, borders.better * spec.floor)
        return Proof(np.where(beyond, log_e, np.nan), limit)
    dist = -borders.better * (found.canary - spec.floor)
    log_e = eprocess.PROMOTE.log_e(dist, found.variances[-1, 2], spec.margin)
    return Proof(np.where(beyond & found.guards.rollback, log_e, np.nan), limit)


def _late(
    spec: MetricSpec, looks: Looks, whole: Measured, borders: Borders, share: float
) -> tuple[Proof, Floats]:
    """Ask whether the counts since some later moment prove the canary worse, and since which.

    A mixture of e-processes that start at fixed later moments is an e-process again: one that has
    not started yet is 1.
    """
    shape = looks.parts[0].cells.shape[1:-2]
    if share <= 0.0 or looks.restart_weights is None or not looks.restarts:
        return _not_asked(whole.stable.shape), np.zeros(shape)
    found = _as_dependent_as(whole, spec, looks.restarts, borders)
    outcome = _rollback(spec, found, borders, share)
    log_e = np.minimum(outcome.log_e, outcome.cautious)
    usable = found.known & _in_force(found)
    log_e = np.where(usable, log_e, -np.inf).reshape(*shape, -1)
    terms = np.log(looks.restart_weights) + log_e
    total = np.logaddexp.reduce(terms, axis=-1)
    asked = np.where(np.isfinite(total), total, np.nan)
    return Proof(asked, outcome.limit), np.argmax(terms, axis=-1).astype(np.float64)


def _members(
    spec: MetricSpec, looks: Looks, whole: Measured, borders: Borders, share: float
) -> Proof:
    """Ask whether a member's own counts prove the canary worse there; they share the error chance."""
    shape = looks.parts[0].cells.shape[1:-2]
    rows = []
    limit = np.inf
    for parts in looks.members.values() if share > 0.0 else ():
        found = _as_dependent_as(whole, spec, parts, borders)
        outcome = _rollback(spec, found, borders, share / len(looks.members))
        limit = outcome.limit
        log_e = np.minimum(outcome.log_e, outcome.cautious)
        rows.append(np.where(found.known & _in_force(found), log_e, np.nan))
    return Proof(np.array(rows) if rows else np.zeros((0, *shape)), limit)


def _as_dependent_as(whole: Measured, spec: MetricSpec, parts: Parts, borders: Borders) -> Measured:
    """Measure a part of the rows, whose own dependence is not known, as dependent as all of them.

    How the rows of one user or batch go together is a property of the traffic, and a part has too
    few groups of its own to show it. `parts` may have several looks, side by side, for one of the
    whole's.
    """
    part = measure(spec, parts, replace(borders, remembers=False))
    if part.dependence is not None or whole.dependence is None:
        return part
    times = part.stable.size // whole.stable.size
    dependence = whole.dependence.steadily(times, part.stable.shape)
    return replace(part, variances=part.variances * dependence.effect, dependence=dependence)


def _in_force(found: Measured) -> Bools:
    if found.dependence is None:
        return found.guards.rollback
    return found.guards.rollback & (found.dependence.freedom >= LEAST_FREEDOM)
