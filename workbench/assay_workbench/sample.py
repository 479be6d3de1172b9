"""Scored rows: kept in memory while they are few, in a temporary file beyond that.

Most figures need one look at the rows; intervals of averages and paired differences need a second
one. Reading and scoring are the dear part, so what models said is kept, 8 bytes for a score.
"""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from assay_server.models.scores import ScoreKind

Floats = NDArray[np.float64]
Indexes = NDArray[np.intp]


@dataclass(frozen=True)
class Answers:
    """What one model said of n rows.

    Attributes
    ----------
    predicted
        Index of the predicted class, shape (n,).
    scores
        A score of each class, shape (n, K); `None` if the model has none.
    """

    predicted: Indexes
    scores: Floats | None


@dataclass(frozen=True)
class Part:
    """Some rows: index of the true class, shape (n,), and what each model said of them."""

    labels: Indexes
    answers: tuple[Answers, ...]

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.labels.size)

    @property
    def size(self) -> int:
        """Bytes."""
        return int(sum(each.nbytes for each in self._arrays()))

    def _arrays(self) -> Iterator[NDArray[np.generic]]:
        yield self.labels
        for answers in self.answers:
            yield answers.predicted
            if answers.scores is not None:
                yield answers.scores

    def write(self, file: IO[bytes]) -> None:
        """Append to a file."""
        for array in self._arrays():
            np.save(file, array, allow_pickle=False)

    def read(self, file: IO[bytes]) -> "Part":
        """Return the next part of a file, whose parts are all made as this one is."""
        labels = np.load(file, allow_pickle=False)
        return Part(
            labels,
            tuple(
                Answers(
                    np.load(file, allow_pickle=False),
                    None if each.scores is None else np.load(file, allow_pickle=False),
                )
                for each in self.answers
            ),
        )


class Sample(AbstractContextManager["Sample"]):
    """All scored rows of a table, to be looked at as often as needed.

    Parameters
    ----------
    classes
        Names, in the order of labels, predictions and scores.
    positive
        Index of the class that thresholds and binary metrics are about; `None` if there is none.
    kinds
        What the scores of each model are.
    memory
        Bytes that may be kept in memory.

    Attributes
    ----------
    rows
        How many there are.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        positive: int | None,
        kinds: tuple[ScoreKind | None, ...],
        memory: int = 2**30,
    ) -> None:
        self.classes = classes
        self.positive = positive
        self.kinds = kinds
        self.memory = memory
        self.rows = 0
        self._parts: list[Part] = []
        self._first: Part | None = None
        self._held = 0
        self._file: IO[bytes] | None = None
        self._written = 0

    @property
    def spilled(self) -> bool:
        """Whether the rows are in a file."""
        return self._file is not None

    def append(self, part: Part) -> None:
        """Take in rows, at least one."""
        self._first = self._first or part
        self.rows += part.rows
        if self._file is not None:
            part.write(self._file)
            self._written += 1
            return
        self._parts.append(part)
        self._held += part.size
        if self._held > self.memory:
            self._file = tempfile.TemporaryFile(prefix="assay-")  # noqa: SIM115 - closed in __exit__
            for each in self._parts:
                each.write(self._file)
            self._written, self._parts = len(self._parts), []

    def parts(self) -> Iterator[Part]:
        """Yield all rows in order; one iteration at a time."""
        if self._file is None or self._first is None:
            yield from self._parts
            return
        self._file.seek(0)
        for _ in range(self._written):
            yield self._first.read(self._file)
        self._file.seek(0, 2)

    @override
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of what is kept."""
        if self._file is not None:
            self._file.close()
        self._parts.clear()
