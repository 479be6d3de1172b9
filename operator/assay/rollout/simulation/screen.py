"""Which trials may be decided at a look: a cheap question that spares most of the dear ones.

The whole judgement of a look asks for batches of rows, for restarts and for single members besides
the counts themselves. It is asked only where it may matter, and decides alone; this module only
leaves out trials in which it would say Hold.

- Of all counts the real tests are asked, only without batches. That makes a verdict easier: an
  e-value that is above 1 grows with the information, and batches take some of it away.
- Every second moment stands for the one after it, too: their counts are nearly the same.
- Restarts and members decide at more than 4 standard errors (their limits are e-values of
  thousands). They are looked at closely where the plain difference over all strata is `SUSPICIOUS`.
  Strata of one simulation differ in traffic, never in the model, so it estimates what the
  standardised one does.
- Trials with a small stratum are merged one by one by the judge. Here they are merged in one go, all
  strata into one: exactly what the judge does with two. With more, `SLACK` and `GENEROUS` make up for it.
"""

from dataclasses import dataclass, replace

import numpy as np

from assay.judge.decision import PROMOTE, ROLLBACK, Decisions, borders, decide
from assay.judge.looks import Looks

from .arrivals import Ints
from .counts import Counts, by_member, merged, small_strata
from .history import Bools
from .model import Floats
from .trial import Trial
from .yardstick import Cells, Yardstick

SUSPICIOUS = 4.0
"""Standard errors at which a restart or a member is looked at closely."""

NEAR = 1.5
"""Standard errors below that from which restarts are part of the closer look.

The others would add less than a thousandth of the limit each.
"""

GENEROUS = 1.5
"""By how much more roughly merged strata may count for the burn-in."""

SLACK = 2.0
"""How much smaller a log e-value of roughly merged strata may be."""


@dataclass(frozen=True, eq=False)
class Hint:
    """What may be said of R trials: False where it will not be.

    Attributes
    ----------
    rollback, promote
        The verdict, by the counts of the whole trial.
    in_force
        Whether every metric is past its burn-in.
    suspect
        Whether a part of the counts looks much worse: since a moment, or of a member.
    moments
        Which moments are part of a closer look, by metric: (R, T) each.
    """

    rollback: Bools
    promote: Bools
    in_force: Bools
    suspect: Bools
    moments: tuple[Bools, ...]


@dataclass(frozen=True, eq=False)
class _OfMetric:
    rollback: Bools
    promote: Bools
    in_force: Bools
    suspect: Bools
    moments: Bools


def screen(trial: Trial, counts: Counts, rows: Ints, step: int) -> Hint:
    """Say what the judge may say of trials that are in `step`."""
    cells = counts.cells(rows, step)
    since = counts.since(rows, step) if trial.policy.since_moments else None
    each = [_of_metric(trial, yardstick, cells, since) for yardstick in trial.yardsticks]
    return Hint(
        rollback=np.logical_or.reduce([found.rollback for found in each]),
        promote=np.logical_and.reduce([found.promote for found in each]),
        in_force=np.logical_and.reduce([found.in_force for found in each]),
        suspect=np.logical_or.reduce([found.suspect for found in each]),
        moments=tuple(found.moments for found in each),
    )


def _of_metric(trial: Trial, yardstick: Yardstick, cells: Cells, since: Cells | None) -> _OfMetric:
    cells = yardstick.needs(cells)
    small, active = small_strata(cells)
    slack = np.where(small & (active > 2), SLACK, 0.0)
    looks = Looks(yardstick.parts(merged(cells, small)))
    # Without what moments say of how rows hang together, which can only widen.
    policy = replace(trial.policy, since_moments=False)
    found = decide(yardstick.spec, policy, looks, len(trial.yardsticks))
    suspect = np.zeros(len(active), bool)
    moments = np.zeros((len(active), 0), bool)
    if since is not None:
        score = _scores(trial, yardstick, since, cells, found)
        suspect |= (score >= SUSPICIOUS).any(axis=1)
        moments = np.repeat(score >= SUSPICIOUS - NEAR, 2, axis=1) & suspect[:, None]
    members = len(trial.traffic.members)
    if trial.policy.by_member and members > 1:
        score = _scores(trial, yardstick, by_member(cells, members), cells, found)
        suspect |= (score >= SUSPICIOUS).any(axis=1)
    return _OfMetric(
        rollback=(found.verdict == ROLLBACK) | _near(found, slack, promote=False),
        promote=(found.verdict == PROMOTE) | _near(found, slack, promote=True),
        in_force=found.past_burn_in | ((slack > 0.0) & _guards(yardstick, cells)),
        suspect=suspect,
        moments=moments,
    )


def _guards(yardstick: Yardstick, cells: Cells) -> Bools:
    """Return where the counts of all strata, or somewhat more, are past the burn-in; (R,)."""
    scores = None if cells.scores is None else GENEROUS * cells.scores.sum(axis=2)
    parts = yardstick.parts(Cells(GENEROUS * cells.confusion.sum(axis=2), scores))
    past = [part.component.guards(*part.cells).rollback for part in parts]
    all_past: Bools = np.logical_and.reduce(past)
    return all_past


def _near(found: Decisions, slack: Floats, *, promote: bool) -> Bools:
    test = found.comparison.promote if promote else found.comparison.rollback
    near: Bools = (slack > 0.0) & (test.log_e >= test.limit - slack)
    return near


def _scores(
    trial: Trial, yardstick: Yardstick, some: Cells, cells: Cells, found: Decisions
) -> Floats:
    """Return by how many standard errors parts of the counts, (2, R, J, C), are worse; (R, J).

    Their variance follows from that of the whole by the number of rows. NaN where there is none.
    """
    border = borders(yardstick.spec, trial.policy, len(trial.yardsticks))
    with np.errstate(all="ignore"):
        value = yardstick.value(some)
        gain = yardstick.better * (value[1] - value[0])
        whole = _information(cells.confusion.sum(axis=(-2, -1)))
        known = _information(some.confusion.sum(axis=-1))
        variance = found.comparison.rollback.variance[:, None] * whole[:, None] / known
        score: Floats = -(gain + border.rollback_shift) / np.sqrt(variance)
    return score


def _information(rows: Floats) -> Floats:
    """Return what the rows of both arms (2, ...) tell of their difference, in rows."""
    result: Floats = rows[0] * rows[1] / rows.sum(axis=0)
    return result
