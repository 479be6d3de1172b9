"""Rows that are not independent: users ask many times, and their answers resemble each other.

A user has a template answer; each request copies it with chance sqrt(rho), otherwise it is drawn
anew. So any two answers of a user have the correlation rho, and m requests per user the design
effect 1 + (m - 1) rho.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.judge import MetricSpec
from assay.judge.looks import ArmCells, Looks
from assay.judge.samples import ALARM, log_e_mismatch
from tests.simulation import models
from tests.simulation.ends import Ints
from tests.simulation.experiments.case import Case, simulate
from tests.simulation.experiments.remembered import POLICIES, Remembered
from tests.simulation.judging import MODES, Cells, Course, Kind
from tests.simulation.values import Floats

RHO = 0.3
BUCKETS = 128
SHARE = 0.2
TRUTHS = {"identical": 0.0, "worse by d": 1.0}

SESSION_MARGIN = 0.03
SESSION_LOOKS, SESSIONS_PER_LOOK, PER_SESSION = 100, 60, 10
REMEMBERED = "earlier moments"
BUSY = "earlier moments, ten times the traffic"
USERS = "128 user buckets"
INDEPENDENT = "taken as independent (not what Assay does)"

STICKY_MARGIN = 0.1
STICKY_LOOKS, STICKY_PER_LOOK = 40, 500


@dataclass
class Grouped(Cells):
    """A course with counts by group, cumulated: (runs, looks, G, H, C) of stable and canary."""

    groups: tuple[Floats, Floats] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.groups is not None
        self.numbers = int(np.prod(self.groups[0].shape[2:]))

    def at(self, paths: Ints, looks: range) -> Looks:
        """Return what the judge looks at."""
        where = np.ix_(paths, np.arange(looks.start, looks.stop))
        arms = []
        for arm, groups in zip(self.arms(paths, looks), self.groups, strict=True):
            chosen = groups[where]
            flat = chosen.reshape(-1, *chosen.shape[2:]).astype(np.float64)
            arms.append(ArmCells(arm.cells, groups=flat))
        return Looks(self.kind.part(*arms))


def sessions() -> dict[str, Case]:
    """Ten requests per user, in one session: earlier moments and user buckets both show it."""
    return {
        f"{truth}, {how}": Case(functools.partial(_run_sessions, truth, how))
        for truth in TRUTHS
        for how in (REMEMBERED, BUSY, USERS, INDEPENDENT)
    }


def sticky() -> dict[str, Case]:
    """Users keep their arm; how often they ask is heavy-tailed."""
    cases = {}
    for tail in ("lognormal", "Pareto"):
        for count in (200, 500, 1000, 2000, 5000):
            for truth in TRUTHS:
                run = functools.partial(_run_sticky, tail, count, truth)
                cases[f"{count} users, {tail}, {truth}"] = Case(run)
    return cases


def _arms(truth: str, margin: float) -> tuple[Floats, Floats]:
    return models.f1_arms(TRUTHS[truth] * margin)


def _run_sessions(truth: str, how: str, runs: int) -> dict[str, Any]:
    chances = _arms(truth, SESSION_MARGIN)
    kind = Kind.of(MetricSpec("m", "F1", SESSION_MARGIN))
    looks, sessions_per_look = SESSION_LOOKS, SESSIONS_PER_LOOK
    if how == BUSY:
        # Much is decided before there are moments enough to show how rows hang together.
        looks, sessions_per_look = looks // 5, 10 * sessions_per_look
    shape = (looks, sessions_per_look)
    groups = BUCKETS if how == USERS else 1

    def make(rng: np.random.Generator, count: int) -> Course:
        canary = rng.random((count, *shape)) < SHARE
        bucket = rng.integers(BUCKETS, size=canary.shape)
        copies = rng.binomial(PER_SESSION, RHO**0.5, canary.shape)
        arms = []
        for chosen, chance in zip((~canary, canary), chances, strict=True):
            run, look, _ = where = np.nonzero(chosen)
            counts = rng.multinomial(PER_SESSION - copies[where], chance)
            template = rng.choice(4, size=len(run), p=chance)
            counts[np.arange(len(run)), template] += copies[where]
            place = (run * looks + look) * groups + bucket[where] % groups
            flat = np.zeros((count * looks * groups, 4), np.int64)
            for cell in range(4):
                flat[:, cell] = np.bincount(place, counts[:, cell], len(flat))
            arms.append(np.cumsum(flat.reshape(count, looks, groups, 1, 4), axis=1))
        cells = [arm.sum(axis=2) for arm in arms]
        if how in {REMEMBERED, BUSY}:
            return Remembered(kind, *cells)
        if how == INDEPENDENT:
            return Cells(kind, *cells)
        return Grouped(kind, *cells, groups=(arms[0], arms[1]))

    labels = sessions_per_look * PER_SESSION * np.arange(1.0, looks + 1.0)
    policies = POLICIES if how in {REMEMBERED, BUSY} else MODES
    return simulate(f"sessions {truth}", runs, labels, 4 * BUCKETS, make, policies=policies)


def _run_sticky(tail: str, users: int, truth: str, runs: int) -> dict[str, Any]:
    chances = _arms(truth, STICKY_MARGIN)
    kind = Kind.of(MetricSpec("m", "F1", STICKY_MARGIN))
    alarms = {"users": 0, "requests": 0}

    def make(rng: np.random.Generator, count: int) -> Course:
        groups = np.empty((2, count, STICKY_LOOKS, BUCKETS, 1, 4), np.int32)
        seen = np.empty((2, count, STICKY_LOOKS), np.int64)
        for run in range(count):
            groups[:, run, :, :, 0], seen[:, run] = _one_sticky(rng, tail, users, chances)
        groups = np.cumsum(groups, axis=2, dtype=np.int32)
        cells = groups.sum(axis=3)
        alarms["users"] += _alarms(seen)
        alarms["requests"] += _alarms(cells.sum(axis=(3, 4)))
        return Grouped(kind, cells[0], cells[1], groups=(groups[0], groups[1]))

    labels = STICKY_PER_LOOK * np.arange(1.0, STICKY_LOOKS + 1.0)
    name = f"sticky {tail} {users} {truth}"
    result = simulate(name, runs, labels, 4 * BUCKETS, make)
    return {**result, "sample ratio alarms": alarms}


def _one_sticky(
    rng: np.random.Generator, tail: str, users: int, chances: tuple[Floats, Floats]
) -> tuple[Ints, Ints]:
    """One trial: rows (2, looks, buckets, 4), and distinct users so far (2, looks)."""
    rates = TAILS[tail](rng, users)
    canary = (rng.random(users) < SHARE).astype(np.int64)
    bucket = rng.integers(BUCKETS, size=users)
    total = STICKY_LOOKS * STICKY_PER_LOOK
    bounds = np.cumsum(rates)
    user = np.searchsorted(bounds, rng.random(total) * bounds[-1], side="right")
    look = np.arange(total) // STICKY_PER_LOOK
    templates = _kinds(rng, canary, chances)
    arm = canary[user]
    kind = np.where(rng.random(total) < RHO**0.5, templates[user], _kinds(rng, arm, chances))
    place = ((arm * STICKY_LOOKS + look) * BUCKETS + bucket[user]) * 4 + kind
    rows = np.bincount(place, minlength=2 * STICKY_LOOKS * BUCKETS * 4)
    first = np.full(users, STICKY_LOOKS)
    first[user[::-1]] = look[::-1]
    new = np.bincount(canary * (STICKY_LOOKS + 1) + first, minlength=2 * (STICKY_LOOKS + 1))
    seen = np.cumsum(new.reshape(2, -1)[:, :-1], axis=1)
    return rows.reshape(2, STICKY_LOOKS, BUCKETS, 4), seen


TAILS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "lognormal": lambda rng, users: rng.lognormal(0.0, 1.2, users),
    "Pareto": lambda rng, users: 1.0 + rng.pareto(1.5, users),
}


def _kinds(rng: np.random.Generator, arm: Ints, chances: tuple[Floats, Floats]) -> Ints:
    """Draw a cell for each row of an arm."""
    bounds = np.cumsum(np.array(chances), axis=1)[:, :3]
    return (rng.random(len(arm))[:, None] >= bounds[arm]).sum(axis=1)


def _alarms(counts: Ints) -> int:
    """Trials whose sample ratio raised the alarm at any look; counts (2, runs, looks)."""
    log_e = log_e_mismatch((counts[0], counts[1]), (1.0 - SHARE, SHARE))
    return int((np.asarray(log_e).max(axis=1) >= np.log(ALARM)).sum())
