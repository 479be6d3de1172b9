"""The same model has the same bytes, in whatever process it is stored."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from assay_server.artifacts.model import load
from assay_server.reference import MEMBER, Reference, embed
from assay_workbench.artifact import write
from assay_workbench.errors import WorkbenchError
from assay_workbench.pinning import one_thread

ROWS, LABELS = load_iris(return_X_y=True)
TREES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
MODELS = {
    "linear": lambda: make_pipeline(StandardScaler(), LogisticRegression(random_state=1)),
    "calibrated": lambda: CalibratedClassifierCV(SVC(), ensemble=False),
    "forest": lambda: RandomForestClassifier(5, random_state=1),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=3, random_state=1),
}


@pytest.fixture(scope="module", autouse=True)
def _alone():
    """Threads that wait for each other cost more than the models do."""
    with one_thread():
        yield


OTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
waste = [object() for _ in range(1000)]  # other memory addresses
from test_artifact import digests
print(*digests(Path(sys.argv[2])))
"""


def digests(path: Path) -> list[str]:
    """Train and store every model, with a set in each."""
    found = []
    for make in MODELS.values():
        model = make().fit(ROWS, LABELS)
        model.tags = {"a", "b", "c", "d", "e"}
        found.append(write(model, path))
    return found


def test_another_process_writes_the_same_bytes(tmp_path):
    here = digests(tmp_path / "here.skops")
    command = [
        sys.executable, "-c", OTHER_PROCESS, str(Path(__file__).parent), str(tmp_path / "x.skops"),
    ]  # fmt: skip
    environment = {
        **os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == here
    assert len(set(here)) == len(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_the_server_loads_an_equal_model(tmp_path, name):
    model = MODELS[name]().fit(ROWS, LABELS)
    path = tmp_path / "model.skops"
    digest = write(model, path)
    assert digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    loaded = load(path, digest, TREES).object
    assert np.array_equal(loaded.predict_proba(ROWS), model.predict_proba(ROWS))
    # What is loaded is the same model.
    assert write(loaded, tmp_path / "again.skops") == digest


def test_skops_alone_writes_other_bytes():
    model = MODELS["linear"]().fit(ROWS, LABELS)
    assert skops.io.dumps(model) != skops.io.dumps(MODELS["linear"]().fit(ROWS, LABELS))


def test_another_model_has_another_digest(tmp_path):
    first = write(LogisticRegression(max_iter=1000).fit(ROWS, LABELS), tmp_path / "model.skops")
    second = write(
        LogisticRegression(max_iter=1000).fit(ROWS[1:], LABELS[1:]), tmp_path / "model.skops"
    )
    assert first != second


def test_the_reference_is_in_the_file(tmp_path):
    path = tmp_path / "model.skops"
    reference = Reference.of(ROWS)
    model = LogisticRegression(max_iter=1000).fit(ROWS, LABELS)
    digest = write(model, path, reference)
    assert load(path, digest).reference == reference.text()
    assert write(model, path) != digest
    embed(path, reference)
    assert zipfile.ZipFile(path).read(MEMBER) == reference.text()


def test_keys_of_a_model_that_look_like_those_of_the_file(tmp_path):
    model = OneHotEncoder().fit([["a"]])
    model.notes = {"__id__": 3, "file": "x", "__loader__": {"file": b"bytes"}, 1: sparse.eye(3)}
    path = tmp_path / "model.skops"
    write(model, path)
    notes = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path)).notes
    assert notes["__id__"] == 3
    assert notes["file"] == "x"
    assert notes["__loader__"] == {"file": b"bytes"}
    assert np.array_equal(notes[1].toarray(), np.eye(3))


def test_what_cannot_be_written_leaves_what_is_there(tmp_path):
    path = tmp_path / "model.skops"
    path.write_bytes(b"old")
    with pytest.raises(WorkbenchError, match="skops cannot store this model"):
        write((each for each in "ab"), path)
    with pytest.raises(WorkbenchError, match="No such file or directory"):
        write(LogisticRegression(), tmp_path / "nowhere" / "model.skops")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["model.skops"]
