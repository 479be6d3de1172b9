"""The models that are served, the request, and what the right answer is."""

import base64
import hashlib
import http.client
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "bench"
PATH = f"/v2/models/{MODEL}/infer"
# The same for every server: the gateway's header, which only ours reads.
HEADERS = {"Content-Type": "application/json", "assay-stratum": "bench/1"}
CHECKED_ROWS = 5
TOLERANCE = 1e-9


class WrongAnswerError(Exception):
    """A server does not answer what scikit-learn does."""


class NotServedError(Exception):
    """A server answers that there is no model, as MLServer (400) and others do while they load it."""


def cancer() -> tuple[Any, np.ndarray]:
    """Breast cancer: scaler and logistic regression, 30 features, two classes."""
    rows, labels = load_breast_cancer(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels), rows


def digits() -> tuple[Any, np.ndarray]:
    """Digits: one logistic regression against the rest for each of ten classes, 64 features."""
    rows, labels = load_digits(return_X_y=True)
    model = OneVsRestClassifier(LogisticRegression(max_iter=200, tol=1e-3))
    return model.fit(rows / 16, labels), rows / 16


def forest() -> tuple[Any, np.ndarray]:
    """Breast cancer: random forest of 100 trees, 30 features, two classes."""
    rows, labels = load_breast_cancer(return_X_y=True)
    return RandomForestClassifier(100, random_state=0).fit(rows, labels), rows


MODELS = {"cancer": cancer, "digits": digits, "forest": forest}


@dataclass(frozen=True, slots=True)
class Workload:
    """A model on the disk in both formats, rows to ask about, and scikit-learn's answers."""

    name: str
    folder: Path
    digest: str
    rows: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray

    @property
    def skops(self) -> Path:
        """The file that our server loads."""
        return self.folder / "model.skops"

    @property
    def joblib(self) -> Path:
        """The file that peers load."""
        return self.folder / "model.joblib"

    @property
    def keys(self) -> Path:
        """The keys that sign our server's receipts."""
        return self.folder / "keys.json"

    def request(self, row: int = 0) -> str:
        """Return the body of a request about one row."""
        values = self.rows[row]
        tensor = {
            "name": "x",
            "shape": [1, len(values)],
            "datatype": "FP64",
            "data": values.tolist(),
        }
        outputs = [{"name": "predict"}, {"name": "predict_proba"}]
        return json.dumps({"inputs": [tensor], "outputs": outputs}, separators=(",", ":"))


def prepare(name: str, folder: Path) -> Workload:
    """Fit a model and save it."""
    model, rows = MODELS[name]()
    folder.mkdir()
    skops.io.dump(model, folder / "model.skops")
    joblib.dump(model, folder / "model.joblib")
    secret = base64.b64encode(os.urandom(32)).decode()
    (folder / "keys.json").write_text(json.dumps({"active": "k1", "keys": {"k1": secret}}))
    digest = hashlib.sha256((folder / "model.skops").read_bytes()).hexdigest()
    # Rows of different classes, far from each other in the data set.
    some = rows[:: len(rows) // CHECKED_ROWS][:CHECKED_ROWS]
    return Workload(name, folder, digest, some, model.classes_, model.predict_proba(some))


def ask(port: int, body: str) -> bytes:
    """Send one request and return the answer's body.

    Raises OSError, HTTPException, NotServedError (status 400, 404 or 503) or WrongAnswerError (any other).
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", PATH, body, HEADERS)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    if response.status != 200:
        kind = NotServedError if response.status in {400, 404, 503} else WrongAnswerError
        raise kind(f"status {response.status}: {content[:300].decode(errors='replace')}")
    return content


def check(content: bytes, workload: Workload, row: int = 0) -> None:
    """Compare an answer with scikit-learn's. Raises WrongAnswerError."""
    try:
        outputs = {output["name"]: output["data"] for output in json.loads(content)["outputs"]}
        predicted = outputs["predict"]
        probabilities = np.array(outputs["predict_proba"], dtype=float).ravel()
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswerError(f"{error!r} in {content[:300].decode(errors='replace')}") from error
    right = workload.probabilities[row]
    if np.ravel(predicted).tolist() != [workload.classes[right.argmax()]]:
        raise WrongAnswerError(f"row {row}: predicted {predicted}")
    if probabilities.shape != right.shape or abs(probabilities - right).max() > TOLERANCE:
        raise WrongAnswerError(f"row {row}: probabilities {probabilities.tolist()}")
