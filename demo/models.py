"""Three models of the breast cancer data that ships with scikit-learn: weak, worse, and good.

The task is the natural one: find the malignant tumours. The positive class is ``malignant``. Half
of the rows are held out by one fixed stratified split; they are the live stream of the demo, so a
model's F1 there is the truth that a rollout is to find out.
"""

import enum
import functools
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

POSITIVE = "malignant"
"""The class whose F1 and AUC are compared."""

FEATURES = 30
"""Columns of every request; each model picks those that it uses."""

_SEED = 42
_FEW = (0, 1, 5)  # mean radius, mean texture, mean compactness
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold

Rows = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


class Version(enum.StrEnum):
    """The versions of the story."""

    FIRST = "1"
    """Honestly weak: three of the thirty columns."""
    CORRUPTED = "2"
    """Worse: as the first, but a join went wrong, and in its training data the column "mean radius" belongs to other patients."""
    GOOD = "3"
    """All columns."""


@dataclass(frozen=True)
class Split:
    """Rows of shape ``(n, 30)`` and their true classes of shape ``(n,)``, apart for both uses."""

    train_rows: Rows
    train_labels: Labels
    held_out_rows: Rows
    held_out_labels: Labels


@dataclass(frozen=True)
class Artifact:
    """A model as it is served: one file, named by what is in it.

    Attributes
    ----------
    digest
        ``sha256:<hex>`` of `content`.
    """

    version: str
    content: bytes
    digest: str

    @property
    def filename(self) -> str:
        """Name of the file; a copy of a version has another digest and so another name."""
        return f"breast-cancer-{self.version}-{self.digest[7:15]}.skops"

    def write(self, directory: Path) -> Path:
        """Write the artifact into `directory` and return its path."""
        path = directory / self.filename
        path.write_bytes(self.content)
        return path


@functools.cache
def split() -> Split:
    """Return the data, split in two by a fixed seed, the share of malignant cases kept."""
    data = load_breast_cancer()
    labels = np.asarray(data.target_names, dtype=np.str_)[data.target]
    train_rows, held_out_rows, train_labels, held_out_labels = train_test_split(
        np.asarray(data.data, dtype=np.float64),
        labels,
        test_size=0.5,
        stratify=labels,
        random_state=_SEED,
    )
    return Split(train_rows, train_labels, held_out_rows, held_out_labels)


@functools.cache
def fitted(version: Version) -> Pipeline:
    """Return the trained pipeline of `version`; its classes are ``benign`` and ``malignant``."""
    data = split()
    rows = data.train_rows
    if version is Version.GOOD:
        return _pipeline(tuple(range(FEATURES)), regularisation=0.3).fit(rows, data.train_labels)
    if version is Version.CORRUPTED:
        rows = rows.copy()
        rows[:, 0] = np.random.default_rng(0).permutation(rows[:, 0])
    return _pipeline(_FEW, regularisation=1.0).fit(rows, data.train_labels)


def artifact(version: Version) -> Artifact:
    """Return the artifact of `version`: the same bytes, and so the same digest, every time."""
    return _artifact(version.value, fitted(version))


def copy_of(version: Version) -> Artifact:
    """Return another artifact of `version`: another digest, the same prediction for every row.

    It is what a canary that is identical to stable looks like. Only a setting that is read in
    training, and never when predicting, differs.
    """
    model = skops.io.loads(artifact(version).content)
    model.set_params(classify__max_iter=4000)
    return _artifact(f"{version.value}-copy", model)


def scores(version: Version, rows: Rows) -> npt.NDArray[np.float64]:
    """Return the probability of ``malignant`` for each row."""
    model = fitted(version)
    column = list(model.classes_).index(POSITIVE)
    return np.asarray(model.predict_proba(rows)[:, column], dtype=np.float64)


def held_out_quality(version: Version) -> tuple[float, float]:
    """Return (F1 of ``malignant``, ROC AUC) of `version` on the held-out rows."""
    data = split()
    truth = data.held_out_labels
    f1 = f1_score(truth, fitted(version).predict(data.held_out_rows), pos_label=POSITIVE)
    auc = roc_auc_score(truth == POSITIVE, scores(version, data.held_out_rows))
    return float(f1), float(auc)


def _pipeline(columns: tuple[int, ...], *, regularisation: float) -> Pipeline:
    return Pipeline(
        [
            ("select", ColumnTransformer([("scale", StandardScaler(), list(columns))])),
            ("classify", LogisticRegression(C=regularisation, max_iter=2000)),
        ]
    )


def _artifact(version: str, model: Pipeline) -> Artifact:
    content = _canonical(skops.io.dumps(model))
    return Artifact(version, content, f"sha256:{hashlib.sha256(content).hexdigest()}")


def _canonical(content: bytes) -> bytes:
    """Return a skops file without what differs from run to run.

    skops names objects and their files by memory address, and zip files hold times. Addresses
    become numbers in order of appearance, times the earliest that there is.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        schema = json.loads(source.read("schema.json"))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}
        for node in _nodes(schema):
            if "__id__" in node:
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if "file" in node:
                name = f"{len(files) + 1}.npy"
                node["file"] = files.setdefault(node["file"], name)
        members = {files[name]: source.read(name) for name in files}
    members["schema.json"] = json.dumps(schema).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in members.items():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return buffer.getvalue()


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the JSON document, parents first."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)
