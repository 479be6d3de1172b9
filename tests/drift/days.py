"""Simulated days: thirty features that follow the clock, counted as servers count them.

Every step of five minutes has rows of its own; how many, and what they are like, depends on the time
of day, for each feature in another way, and a little on the day. Rows are drawn, not expected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from assay.drift import DAY_SECONDS, EARLIER_DAYS, Decision, Sight, Window, decide, fitting_span

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

STEP_SECONDS = 300
STEPS = DAY_SECONDS // STEP_SECONDS
FIRST_LOOK = STEPS * (1 + EARLIER_DAYS[-1])
"""From then on all that may be asked of is known."""

NUMERIC, NAMED = 24, 6
BINS = 16
CATEGORIES = 8
FEATURES = tuple(f"f{place}" for place in range(NUMERIC + NAMED))
BIN_NAMES = tuple(map(str, range(BINS)))
FIRST_SPAN = 4800


@dataclass(frozen=True)
class Shift:
    """A change of one numeric feature.

    Attributes
    ----------
    feature
        Its place.
    size
        In standard deviations of all its rows.
    start
        The step from which on it is there.
    steps
        In which it comes, evenly.
    """

    feature: int
    size: float
    start: int
    steps: int = 1


class World:
    """What rows are like at each time. Values of numeric features are normal at any one time.

    Parameters
    ----------
    rows_per_day
        Rows of all pods and members together.
    wobble
        Standard deviation by which days differ, in those of the feature at one time.
    weekend
        How much higher all numeric features are on two days of seven.
    training_rows
        Rows of the reference, taken over days like these.
    """

    def __init__(
        self,
        seed: int,
        rows_per_day: float,
        *,
        wobble: float = 0.05,
        weekend: float = 0.0,
        training_rows: int = 20_000,
    ) -> None:
        self.random = np.random.default_rng(seed)
        draw = self.random.uniform
        self._amplitude = draw(0.0, 1.0, NUMERIC)
        self._phase = draw(0.0, 2 * np.pi, NUMERIC)
        self._busy_phase = draw(0.0, 2 * np.pi)
        self._weights = self.random.normal(size=(NAMED, CATEGORIES))
        self._sway = draw(0.0, 0.8, (NAMED, CATEGORIES))
        self._named_phase = draw(0.0, 2 * np.pi, (NAMED, CATEGORIES))
        self._rows = rows_per_day / STEPS
        self._wobble, self._weekend = wobble, weekend
        self._edges, self.deviation, self.reference = self._train(training_rows)

    def counts(self, days: int, shifts: Sequence[Shift] = ()) -> tuple[Counts, Counts]:
        """Draw days. Return cumulative rows, (steps + 1,), and by feature and bin, (..., F, BINS)."""
        steps = days * STEPS
        totals = np.zeros((steps + 1, len(FEATURES), BINS), dtype=np.int64)
        rows = self.random.poisson(self._rows * self._busy(np.arange(steps)))
        for start in range(0, steps, STEPS):
            span = np.arange(start, start + STEPS)
            chances = self._chances(span, shifts)
            totals[span + 1] = self.random.multinomial(rows[span][:, None], chances)
        return np.concatenate([[0], rows.cumsum()]), totals.cumsum(axis=0)

    def _busy(self, steps: Counts) -> Values:
        busy: Values = 1.0 + 0.8 * np.sin(2 * np.pi * steps / STEPS + self._busy_phase)
        return busy

    def _means(self, steps: Counts) -> Values:
        """Return the mean of each numeric feature, shape (steps, NUMERIC); draws the days' own."""
        day = steps // STEPS
        own = self.random.normal(0.0, self._wobble, (int(day.max()) + 1, NUMERIC))
        clock = 2 * np.pi * steps[:, None] / STEPS + self._phase
        means: Values = self._amplitude * (np.sin(clock) + 0.3 * np.sin(2 * clock)) + own[day]
        return means + self._weekend * (day % 7 >= 5)[:, None]

    def _chances(self, steps: Counts, shifts: Sequence[Shift]) -> Values:
        """Return the probability of each bin, shape (steps, F, BINS)."""
        means = self._means(steps)
        for shift in shifts:
            part = np.clip((steps + 1 - shift.start) / shift.steps, 0.0, 1.0)
            means[:, shift.feature] += shift.size * self.deviation[shift.feature] * part
        numeric = np.diff(ndtr(self._edges - means[:, :, None]), axis=2, prepend=0.0, append=1.0)
        named = np.zeros((len(steps), NAMED, BINS))
        named[:, :, :CATEGORIES] = self._categories(steps)
        chances: Values = np.concatenate([numeric, named], axis=1)
        return chances / chances.sum(axis=2, keepdims=True)

    def _categories(self, steps: Counts) -> Values:
        clock = 2 * np.pi * steps[:, None, None] / STEPS + self._named_phase
        odds = np.exp(self._weights + self._sway * np.sin(clock))
        shares: Values = odds / odds.sum(axis=2, keepdims=True)
        return shares

    def _train(self, rows: int) -> tuple[Values, Values, Window]:
        """Draw training rows, and bin them as `assay_server.reference` does."""
        busy = self._busy(np.arange(STEPS * 28))
        steps = np.sort(self.random.choice(STEPS * 28, rows, p=busy / busy.sum()))
        values = self._means(steps) + self.random.normal(size=(rows, NUMERIC))
        edges = np.sort(values, axis=0)[np.arange(1, BINS) * rows // BINS - 1].T
        numeric = [
            np.bincount(line.searchsorted(column), minlength=BINS)
            for line, column in zip(edges, values.T, strict=True)
        ]
        chances = self._categories(steps).cumsum(axis=2)
        found = (self.random.random((rows, NAMED, 1)) > chances[:, :, :-1]).sum(axis=2)
        named = [np.bincount(column, minlength=BINS) for column in found.T]
        return edges, values.std(axis=0), window(np.array([*numeric, *named]), rows)


@dataclass(frozen=True)
class Look:
    """What was said at the end of a step, and how many rows had come by then."""

    step: int
    rows: int
    decision: Decision


def looks(
    world: World, rows: Counts, totals: Counts, *, start: int = FIRST_LOOK, every: int = 1
) -> Iterator[Look]:
    """Yield what is said every so many steps, each look knowing the one before."""
    seconds, before = FIRST_SPAN, frozenset[str]()
    for step in range(start, len(rows), every):
        span = seconds // STEP_SECONDS
        present = _between(rows, totals, step - span, step)
        sight = Sight(
            _between(rows, totals, step - STEPS, step),
            present,
            tuple(
                _between(rows, totals, step - span - STEPS * day, step - STEPS * day)
                for day in EARLIER_DAYS
            ),
        )
        decision = decide(world.reference, {"member": sight}, seconds, before=before)
        before = decision.features
        seconds = fitting_span(present.rows, seconds)
        yield Look(step, int(rows[step]), decision)


def alarms(said: Iterator[Look]) -> list[Decision]:
    """Return what was said whenever drift was detected that was not at the look before."""
    found, was = [], False
    for look in said:
        if look.decision.detected and not was:
            found.append(look.decision)
        was = bool(look.decision.detected)
    return found


def rows_to_alarm(world: World, shift: Shift, days: int) -> int | None:
    """Return how many rows come between a shift and the first look that names its feature."""
    rows, totals = world.counts(days, [shift])
    for look in looks(world, rows, totals, start=shift.start):
        if FEATURES[shift.feature] in look.decision.features:
            return look.rows - int(rows[shift.start])
    return None


def window(counts: Counts, rows: int) -> Window:
    """Return counts of shape (F, BINS) as they come from Prometheus."""
    named = {
        feature: dict(zip(BIN_NAMES, line, strict=True))
        for feature, line in zip(FEATURES, counts.tolist(), strict=True)
    }
    return Window(named, float(rows))


def _between(rows: Counts, totals: Counts, start: int, stop: int) -> Window:
    return window(totals[stop] - totals[start], int(rows[stop] - rows[start]))
