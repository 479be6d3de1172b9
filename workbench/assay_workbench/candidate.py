"""A model as it would be served: the server's own loading, trust and decision rule.

The workbench takes these from `assay_server` and not from a copy, because a figure is worth
something only if it is of the model that will answer (decision 30).
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay_server.artifacts.error import ArtifactError, Reason
from assay_server.artifacts.model import Format, load
from assay_server.models.errors import ModelFailedError, UnsupportedModelError
from assay_server.models.scorer import Scorer
from assay_server.models.scores import Rows, ScoreKind, Scores
from assay_workbench.errors import WorkbenchError


@dataclass(frozen=True)
class Rule:
    """How scores become a class, as in ``spec.model.decision``.

    Attributes
    ----------
    positive
        Name of the positive class; `None` for the second of two.
    threshold
        Predict it iff its probability is at least this; `None` leaves it to the model.
    """

    positive: str | None = None
    threshold: float | None = None


class Candidate:
    """A model that can be asked.

    Attributes
    ----------
    path, digest
        Of the artifact; the digest is what ``spec.model.digest`` takes.
    classes
        Names of the classes, in the order of the scores.
    positive
        Index of the positive class of a binary model; `None` for one of more classes.
    kind
        What scores are; `None` if the model has none.
    """

    def __init__(self, path: Path, rule: Rule, trusted: Sequence[str] = ()) -> None:
        """Load an artifact. Raises `WorkbenchError` when it cannot be served as asked."""
        self.path = path
        self.digest = digest_of(path)
        loaded = _load(path, self.digest, trusted)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Which class is positive matters to a server's answers only with a threshold.
                positive = None if rule.threshold is None else rule.positive
                self._scorer = Scorer(loaded, rule.threshold, positive)
        except ImportError as error:
            raise WorkbenchError(f"{path}: needs {error.name}: pip install {error.name}") from None
        except UnsupportedModelError as error:
            raise WorkbenchError(f"{path}: {error}") from None
        self.classes = self._scorer.classes
        self.positive = self._scorer.positive
        self.kind: ScoreKind | None = self._scorer.score_kind
        if self.kind is ScoreKind.DECISION and self._scorer.decision_width not in {
            1,
            len(self.classes),
        }:
            # A score for each pair of classes (SVC with decision_function_shape="ovo") is none of a class.
            self.kind = None
        self.threshold = rule.threshold

    @property
    def features(self) -> int | None:
        """How many columns the model takes, if it says so."""
        return self._scorer.features

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns, in the model's order, if it knows them."""
        return self._scorer.feature_names

    @property
    def text(self) -> frozenset[int]:
        """Places of the columns whose values are not numbers."""
        return self._scorer.categorical

    @property
    def may_be_missing(self) -> frozenset[int]:
        """Places of the columns that may have no value."""
        return self._scorer.missing

    def contribution_means(self, rows: Rows) -> list[list[float]] | None:
        """Return what each column of a linear model adds to its scores, on average over rows."""
        parts = self._scorer.parts
        return None if parts is None else parts.means(rows)

    def score(self, rows: Rows) -> Scores:
        """Score rows of shape (n, d), n >= 1. Raises `ModelFailedError`."""
        with warnings.catch_warnings():
            # Of scikit-learn about missing names and overflows; what matters becomes an error.
            warnings.simplefilter("ignore")
            return self._scorer.score(rows)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, as manifests have it. Raises `WorkbenchError`."""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise WorkbenchError(f"{path}: {error.strerror}") from None


def _load(path: Path, digest: str, trusted: Sequence[str]) -> object:
    kind = Format.ONNX if path.suffix.lower() == ".onnx" else Format.SKOPS
    try:
        return load(path, digest, trusted, format=kind).object
    except ImportError as error:
        raise WorkbenchError(f"{path}: needs {error.name}: pip install {error.name}") from None
    except ArtifactError as error:
        message = str(error)
        if error.reason is Reason.UNTRUSTED_TYPES:
            # Whose hint is for a server; here the person at the keyboard decides.
            message = f"{message.partition(';')[0]}; if you trust them, add --trust for each"
        raise WorkbenchError(f"{path}: {message}") from None


__all__ = ["Candidate", "ModelFailedError", "Rule", "ScoreKind", "Scores", "digest_of"]
