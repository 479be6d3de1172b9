"""What is to be decided, as far as the choice of a metric depends on it."""

import enum
from dataclasses import dataclass

from assay_workbench.thresholds import Costs

SECONDS_PER_DAY = 86_400.0


class Use(enum.StrEnum):
    """What somebody does with what the model says."""

    DECISIONS = "Decisions"
    """Acts on the predicted class."""
    RANKING = "Ranking"
    """Takes the rows with the highest scores first."""
    PROBABILITIES = "Probabilities"
    """Reckons with the probability itself: a price, an expected loss."""


@dataclass(frozen=True)
class Situation:
    """What is known before a metric is chosen.

    Attributes
    ----------
    classes
        Name and labelled rows of each class, at least two with rows.
    positive
        Name of the class that matters; `None` if all do. Of two classes the rarer one if nobody
        said.
    use
        What is done with predictions.
    costs
        Of mistakes of the positive class, if they are known.
    label_rate
        Labelled rows per second that come back, over both versions; `None` if nobody said.
    """

    classes: tuple[tuple[str, int], ...]
    positive: str | None = None
    use: Use = Use.DECISIONS
    costs: Costs | None = None
    label_rate: float | None = None

    @property
    def rows(self) -> int:
        """All labelled rows."""
        return sum(rows for _, rows in self.classes)

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def rarest(self) -> tuple[str, float]:
        """Name and share of the rarest class."""
        name, rows = min(self.classes, key=lambda each: each[1])
        return name, rows / self.rows

    @property
    def commonest(self) -> tuple[str, float]:
        """Name and share of the most frequent class."""
        name, rows = max(self.classes, key=lambda each: each[1])
        return name, rows / self.rows

    @property
    def judged(self) -> str | None:
        """The class that binary metrics are of."""
        if self.positive is not None:
            return self.positive
        return self.rarest[0] if self.binary else None

    @property
    def prevalence(self) -> float:
        """Share of the judged class, of the rarest one if there is none."""
        wanted = self.judged or self.rarest[0]
        return dict(self.classes)[wanted] / self.rows

    @property
    def uneven(self) -> bool:
        """Whether the rarest of several classes has less than half of an even share."""
        return self.rarest[1] < 0.5 / len(self.classes)

    @property
    def rarest_per_day(self) -> float | None:
        """Labelled rows of the judged or rarest class in a day."""
        if self.label_rate is None:
            return None
        return self.label_rate * SECONDS_PER_DAY * min(self.prevalence, self.rarest[1])
