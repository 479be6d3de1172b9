"""The client's own log: what it asked, what it was told, what was true, what became of the label.

It is kept apart from everything that Assay counts, so that Assay's numbers can be checked against
scikit-learn's on this log.
"""

import binascii
import json
import struct
import threading
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

IN_EVIDENCE = frozenset({"counted", "duplicate"})
"""Answers of a ledger that mean: this prediction has its label. "duplicate" is the answer to a
retry whose first try was counted while its answer got lost."""

# Where a receipt says which step answered, and where its texts begin (assay_server.receipts).
# The step, and the flags that say how much comes between them and the names (a3 receipts).
_STEP = struct.Struct(">26xBB")
_USER_BYTES = 6
_SEPARATOR = "\x1f"


@dataclass(slots=True)
class Prediction:
    """One row that was answered.

    Attributes
    ----------
    row
        Number of the held-out row that was sent.
    member
        Whose gateway was asked.
    sent, answered
        When, in Unix seconds.
    version, revision, rollout, step
        Who answered: the version as the answer says it, the others as the receipt says them.
    score
        Probability of the positive class; not a number if the model gave none.
    user
        Number of the user who asked, where users are named.
    label
        What the ledger said of this row's label; None until it answered.
    """

    row: int
    member: str
    sent: float
    answered: float
    version: str
    revision: str
    rollout: str
    step: int
    predicted: str
    score: float
    truth: str
    receipt: str
    user: int | None = None
    label: str | None = None

    @property
    def in_evidence(self) -> bool:
        """Whether the ledger has this row's label."""
        return self.label in IN_EVIDENCE


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that was not answered as it should have been. Predictions are never retried."""

    at: float
    member: str
    kind: str
    detail: str


@dataclass
class Log:
    """Everything that the load client did, safe to read from another thread while it grows.

    Attributes
    ----------
    requests
        Requests that were sent, answered or not.
    predictions
        One entry for each row that was answered.
    failures
        One entry for each request that failed.
    label_results
        What the ledgers answered, for each label sent, repeats and misdirected ones included.
    label_retries
        How often a batch of labels had to be sent again because no ledger answered.
    """

    requests: int = 0
    predictions: list[Prediction] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    label_results: Counter[str] = field(default_factory=Counter)
    label_retries: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self) -> None:
        """Note that a request goes out."""
        with self._lock:
            self.requests += 1

    def answered(self, predictions: Iterable[Prediction]) -> None:
        """Note the rows of an answer."""
        with self._lock:
            self.predictions.extend(predictions)

    def failed(self, failure: Failure) -> None:
        """Note a request that failed."""
        with self._lock:
            self.failures.append(failure)

    def labelled(self, results: Iterable[str]) -> None:
        """Note what a ledger answered to labels."""
        with self._lock:
            self.label_results.update(results)

    def retried(self) -> None:
        """Note that labels have to be sent again."""
        with self._lock:
            self.label_retries += 1

    def rows(self, wanted: Callable[[Prediction], bool] | None = None) -> list[Prediction]:
        """Return a copy of the rows so far, those that are `wanted`."""
        with self._lock:
            copy = list(self.predictions)
        return copy if wanted is None else [item for item in copy if wanted(item)]

    def recent(self, seconds: float) -> list[Prediction]:
        """Return the rows answered in the last so many seconds."""
        since = time.time() - seconds
        rows = []
        with self._lock:
            for item in reversed(self.predictions):
                if item.answered < since:
                    break
                rows.append(item)
        return rows

    def labels_missing(self) -> int:
        """Return how many answered rows have no answer to their label yet."""
        return sum(1 for item in self.rows() if item.label is None)

    def failures_by_kind(self) -> Counter[str]:
        """Return how many requests failed, by kind."""
        with self._lock:
            return Counter(failure.kind for failure in self.failures)

    def write(self, path: Path) -> None:
        """Write the log as one JSON object a line: rows first, then failures."""
        with path.open("w") as file:
            for line in self._lines():
                file.write(line + "\n")

    def _lines(self) -> Iterator[str]:
        fields = [name for name in Prediction.__slots__ if name != "receipt"]
        for item in self.rows():
            yield json.dumps({name: getattr(item, name) for name in fields})
        for failure in list(self.failures):
            yield json.dumps({"failure": failure.kind, **asdict(failure)})


def where_served(receipt: str) -> tuple[str, str, int]:
    """Return (revision, rollout, step) as a receipt says them, unchecked.

    Only the ledger can tell whether a receipt is genuine, and to clients it is opaque; the log
    looks inside to group its rows as the evidence is grouped. Text that is no receipt gives empty
    names and step -1.
    """
    try:
        payload = receipt.split(".")[1]
        content = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        step, flags = _STEP.unpack_from(content)
        names = _STEP.size + _USER_BYTES * bool(flags & 2) + 2 * (1 + (flags >> 2))
        revision, rollout, *_ = content[names:].decode().split(_SEPARATOR)
    except (IndexError, ValueError, struct.error, binascii.Error):
        return "", "", -1
    return revision, rollout, step


def confusion(rows: Iterable[Prediction], labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return scikit-learn's confusion matrix: rows true classes, columns predicted, as `labels`."""
    truths, predicted = _answers(rows)
    if not truths:
        return np.zeros((len(labels), len(labels)), dtype=np.int64)
    return np.asarray(confusion_matrix(truths, predicted, labels=list(labels)), dtype=np.int64)


def f1(rows: Iterable[Prediction], positive: str) -> float:
    """Return scikit-learn's F1 of the class `positive`; not a number without rows."""
    truths, predicted = _answers(rows)
    if not truths:
        return float("nan")
    return float(f1_score(truths, predicted, pos_label=positive))


def auc(rows: Iterable[Prediction], positive: str) -> float:
    """Return scikit-learn's ROC AUC of the class `positive`; not a number with one class only."""
    items = list(rows)
    truths = np.array([item.truth == positive for item in items])
    if len({*truths.tolist()}) != 2:
        return float("nan")
    return float(roc_auc_score(truths, [item.score for item in items]))


def _answers(rows: Iterable[Prediction]) -> tuple[list[str], list[str]]:
    items = list(rows)
    return [item.truth for item in items], [item.predicted for item in items]
