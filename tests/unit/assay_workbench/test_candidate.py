"""Models are loaded and trusted as the server does it."""

import pickle

import numpy as np
import pytest
import skops.io
from sklearn.tree import DecisionTreeClassifier

from assay_workbench.candidate import Candidate, Rule
from assay_workbench.errors import WorkbenchError


def test_a_pickle_is_refused(tmp_path, binary):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(binary.fitted))
    with pytest.raises(WorkbenchError, match="runs code on load; save it with skops"):
        Candidate(path, Rule())


def test_types_are_trusted_by_name_only(tmp_path, binary):
    path = tmp_path / "tree.skops"
    model = DecisionTreeClassifier(max_depth=2).fit(binary.rows, binary.labels)
    skops.io.dump(model, path)
    with pytest.raises(WorkbenchError, match=r"not trusted: sklearn.tree._tree.Tree; .*--trust"):
        Candidate(path, Rule())
    assert Candidate(path, Rule(), ["sklearn.tree._tree.Tree"]).classes == ("bad", "good")


def test_an_onnx_file(tmp_path, binary):
    from skl2onnx import to_onnx

    path = tmp_path / "model.onnx"
    model = to_onnx(binary.fitted, binary.rows.to_numpy()[:1], options={"zipmap": False})
    path.write_bytes(model.SerializeToString())
    found = Candidate(path, Rule("good", 0.5))
    assert found.classes == ("bad", "good")
    scores = found.score(binary.rows.to_numpy())
    np.testing.assert_allclose(scores.probabilities, binary.scores, atol=1e-5)


def test_what_is_no_model_or_not_there(tmp_path):
    with pytest.raises(WorkbenchError, match="No such file"):
        Candidate(tmp_path / "none.skops", Rule())
    path = tmp_path / "model.skops"
    skops.io.dump({"a": 1}, path)
    with pytest.raises(WorkbenchError, match="is not a fitted classifier"):
        Candidate(path, Rule())


def test_a_threshold_needs_two_classes(animals):
    with pytest.raises(WorkbenchError, match="a threshold needs a binary model"):
        Candidate(animals.model, Rule(threshold=0.3))
