"""Models on disk and tables of labelled rows for the tests of the workbench."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assay_server.artifacts.signature import Signers
from assay_workbench.candidate import Candidate, Rule
from assay_workbench.commands.evaluate import evaluate_command
from assay_workbench.dataset import Dataset
from assay_workbench.evaluation import Settings, evaluate
from assay_workbench.sample import Sample
from assay_workbench.scoring import Question, score


@dataclass(frozen=True)
class Case:
    """A model, a worse one, and labelled rows that neither has seen."""

    model: Path
    baseline: Path
    data: Path
    fitted: object
    fitted_baseline: object
    rows: pd.DataFrame
    labels: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        return self.fitted.predict_proba(self.rows)

    @property
    def predicted(self) -> np.ndarray:
        return self.fitted.predict(self.rows)

    def sample(self, memory: int = 2**30, positive: str | None = None, rule: Rule | None = None):
        rule = rule or Rule()
        candidates = (Candidate(self.model, rule), Candidate(self.baseline, rule))
        return score(Dataset.open(self.data, "label"), Question(candidates, positive), memory)

    def evaluated(self, memory: int = 2**30, positive: str | None = None, **settings):
        with self.sample(memory, positive) as sample:
            return evaluate(sample, Settings(**settings))


def a_case(folder: Path, names: list[str], weights: list[float], rows: int = 900) -> Case:
    features, codes = make_classification(
        n_samples=rows + 600, n_features=6, n_informative=4, n_redundant=0, n_classes=len(names),
        weights=weights, class_sep=0.8, flip_y=0.08, random_state=11,
    )  # fmt: skip
    frame = pd.DataFrame(features, columns=[f"f{place}" for place in range(6)])
    labels = np.array(names)[codes]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[:600], labels[:600])
    worse = make_pipeline(StandardScaler(), LogisticRegression(C=0.002))
    worse.fit(frame[:600], labels[:600])
    skops.io.dump(model, folder / "model.skops")
    skops.io.dump(worse, folder / "baseline.skops")
    rest = frame[600:].reset_index(drop=True)
    # The label is not the last column, and one column is of no use to the models.
    table = pd.concat([pd.Series(labels[600:], name="label"), rest], axis=1).assign(more="x")
    table.to_csv(folder / "data.csv", index=False)
    table.to_parquet(folder / "data.parquet")
    return Case(
        folder / "model.skops", folder / "baseline.skops", folder / "data.csv",
        model, worse, rest, labels[600:],
    )  # fmt: skip


@pytest.fixture(scope="session")
def binary(tmp_path_factory) -> Case:
    """Classes bad (positive: the second by name would be good) and good, a fifth of them good."""
    return a_case(tmp_path_factory.mktemp("binary"), ["bad", "good"], [0.8])


@pytest.fixture(scope="session")
def animals(tmp_path_factory) -> Case:
    """Three classes of unlike sizes."""
    return a_case(tmp_path_factory.mktemp("animals"), ["ant", "bee", "cat"], [0.6, 0.3])


@pytest.fixture(scope="session")
def ridge(tmp_path_factory, binary) -> Path:
    """A model of the same classes without probabilities."""
    model = make_pipeline(StandardScaler(), RidgeClassifier()).fit(binary.rows, binary.labels)
    path = tmp_path_factory.mktemp("ridge") / "ridge.skops"
    skops.io.dump(model, path)
    return path


@pytest.fixture
def run():
    """Call `assay evaluate`; exit code 0 or the message."""

    def run(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(evaluate_command, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def read(run):
    """Call `assay evaluate -o json`."""
    return lambda *words: json.loads(run(*words, "-o", "json"))


def sample_of(labels, predicted, scores, classes=("0", "1"), positive=1, kind=None) -> Sample:
    """Make scored rows of one model by hand."""
    from assay_server.models.scores import ScoreKind
    from assay_workbench.sample import Answers, Part

    kind = kind or ScoreKind.PROBABILITY
    sample = Sample(tuple(classes), positive, (kind if scores is not None else None,))
    sample.append(
        Part(
            np.asarray(labels, np.intp),
            (
                Answers(
                    np.asarray(predicted, np.intp), None if scores is None else np.asarray(scores)
                ),
            ),
        )
    )
    return sample


@pytest.fixture
def by_hand():
    return sample_of


@pytest.fixture
def key_pair(tmp_path) -> tuple[Path, Signers]:
    """A private key, and the signers that the server trusts with its public half, team.pub."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = tmp_path / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "team.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, Signers.of_directory(folder)
