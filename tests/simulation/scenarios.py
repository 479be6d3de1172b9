"""The grid: two metrics, three prevalences, three shares, two horizons, three truths."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from assay.judge import MetricSpec
from tests.simulation import models, values
from tests.simulation.oracle import labels_needed
from tests.simulation.values import Floats, Value

PREVALENCES = (0.5, 0.1, 0.01)
SHARES = (0.5, 0.2, 0.05)
TRUTHS = {"identical": 0.0, "worse by d": 1.0, "worse by 2d": 2.0}
SHORT, SCALED = "short", "scaled"


@dataclass(frozen=True)
class Scenario:
    """One cell of the grid.

    Attributes
    ----------
    metric
        ``F1`` or ``AUC``.
    prevalence, share
        Of positives; of the canary.
    horizon
        ``short``: a look every 200 labelled requests up to 20 000. ``scaled``: 100 looks that cover
        2.5 times what the oracle needs for a power of 90 %.
    """

    metric: str
    prevalence: float
    share: float
    horizon: str

    @property
    def name(self) -> str:
        """For people and as a key."""
        return f"{self.metric} {self.prevalence:.0%}/{self.share:.0%} {self.horizon}"

    @property
    def margin(self) -> float:
        """The d of the specification."""
        if self.metric == "AUC":
            return 0.02
        return 0.03 if self.prevalence == 0.5 else 0.05

    @property
    def spec(self) -> MetricSpec:
        """What the judge is asked."""
        return MetricSpec("m", "F1" if self.metric == "F1" else "ROCAUC", self.margin)

    @property
    def value(self) -> Value:
        """The metric of cells."""
        return values.f1 if self.metric == "F1" else values.auc

    @property
    def variance(self) -> Callable[[Floats], Floats]:
        """Its plain variance."""
        return values.f1_variance if self.metric == "F1" else values.auc_variance

    def cells(self, separation: float) -> Floats:
        """Cell chances of a model."""
        if self.metric == "F1":
            threshold = models.best_threshold(self.prevalence)
            return models.confusion(separation, self.prevalence, threshold)
        return models.histogram(separation, self.prevalence, models.edges())

    @functools.cache  # noqa: B019 - 36 scenarios, which live as long as the process
    def arms(self, effect: float) -> tuple[Floats, Floats]:
        """Cell chances of stable, and of a canary worse by `effect` margins."""
        canary = models.degraded(self.cells, self.value, effect * self.margin)
        return self.cells(models.SEPARATION), canary

    def coarser(self, cells: Floats) -> Floats:
        """Cells for the peers: AUC on 64 of the 256 bins, which moves it by less than .0002."""
        if self.metric == "F1":
            return cells
        return cells.reshape(*cells.shape[:-1], -1, 4).sum(axis=-1)

    @functools.cache  # noqa: B019 - as above
    def needs(self, power: float) -> float:
        """Return the oracle's labelled requests to promote an identical canary."""
        stable, canary = self.arms(0.0)
        return labels_needed(self.value, stable, canary, self.share, self.margin, power)

    @property
    def looks(self) -> int:
        """How many."""
        return 100

    @property
    def per_look(self) -> int:
        """Labelled requests between looks."""
        if self.horizon == SHORT:
            return 200
        return math.ceil(2.5 * self.needs(0.9) / self.looks)


def grid() -> Iterator[Scenario]:
    """All 36 cells."""
    for metric, horizon in itertools.product(("F1", "AUC"), (SHORT, SCALED)):
        for prevalence, share in itertools.product(PREVALENCES, SHARES):
            yield Scenario(metric, prevalence, share, horizon)
