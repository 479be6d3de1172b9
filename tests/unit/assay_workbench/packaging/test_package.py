"""`assay package`: real files of real estimators become what the server serves, or are refused."""

import json
import os
import pickle
import re
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from assay.api.model_deployment import ModelDeploymentSpec
from assay.cli import main
from assay_server.reference import MEMBER, Reference
from assay_workbench.candidate import Candidate, Rule, digest_of

RUN = "--run-code-in-file"


@pytest.fixture(scope="module")
def loans() -> pd.DataFrame:
    """Rows with numbers, gaps and names, and a class that depends on all of them."""
    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "income": random.lognormal(3, 0.5, 700).round(2),
            "age": random.integers(20, 80, 700).astype(float),
            "town": random.choice(["Bonn", "Köln", "Ulm"], 700),
        }
    )
    rows.loc[random.random(700) < 0.1, "age"] = np.nan
    worth = rows["income"] / 20 + (rows["town"] == "Ulm") + random.normal(0, 0.5, 700)
    return rows.assign(label=np.where(worth > 1.5, "paid", "late"))


@pytest.fixture(scope="module")
def pipeline(loans):
    columns = ColumnTransformer(
        [
            ("income", StandardScaler(), ["income"]),
            ("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            ("town", OneHotEncoder(), ["town"]),
        ]
    )
    model = make_pipeline(columns, LogisticRegression())
    return model.fit(loans[:400].drop(columns="label"), loans[:400]["label"])


@pytest.fixture
def package():
    """Call `assay package`; exit code 0 or the message."""

    def package(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["package", *map(str, words)])
        assert result.exit_code == code, (result.output, result.exception)
        return " ".join(result.output.split())

    return package


@pytest.fixture
def loan(loans, pipeline, tmp_path):
    """The pipeline as a joblib file, and rows that it has not seen; what `assay package` takes."""
    joblib.dump(pipeline, tmp_path / "Loan model.joblib")
    loans[400:].to_csv(tmp_path / "rows.csv", index=False)
    return [
        tmp_path / "Loan model.joblib",
        "--reference",
        tmp_path / "rows.csv",
        "-o",
        tmp_path / "out",
    ]


def manifest_of(folder):
    return yaml.safe_load((folder / "modeldeployment.yaml").read_text())


def test_a_pipeline_with_named_columns(package, loan, pipeline, loans, tmp_path):
    text = package(*loan, RUN, "--positive", "late", "--threshold", "0.4")
    rest = loans[400:]
    (path,) = (tmp_path / "out").glob("*.skops")
    document = manifest_of(tmp_path / "out")
    spec = ModelDeploymentSpec.model_validate(document["spec"])
    assert document["metadata"] == {"name": "loan-model", "namespace": "default"}
    assert spec.model.digest == digest_of(path)
    assert path.name == f"loan-model-{spec.model.digest[7:15]}.skops"
    assert spec.model.uri.endswith(path.name)
    assert document["spec"]["model"]["decision"] == {"positiveLabel": "late", "threshold": "0.4"}
    assert "put its address in place of https://models.example.com/..." in text
    # What is printed is of the packaged model with its rule.
    scores = pipeline.predict_proba(rest.drop(columns="label"))[:, 0]
    truth = rest["label"] == "late"
    for name, value in (
        ("accuracy (all micro averages)", accuracy_score(truth, scores >= 0.4)),
        ("F1 of 'late'", f1_score(truth, scores >= 0.4)),
        ("ROC AUC of 'late'", roc_auc_score(truth, scores)),
    ):
        assert f"{name} {value:.4f}" in text
    reference = Reference.parse(zipfile.ZipFile(path).read(MEMBER))
    assert reference.rows == 300
    assert [each.name for each in reference.features] == ["income", "age", "town"]
    assert reference.features[1].missing == int(rest["age"].isna().sum())
    assert reference.features[2].categories == tuple(rest["town"].value_counts().index)
    assert reference.scores.of_class == "late"
    assert reference.scores.rows == 300
    assert reference.quality.rows == 300
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        path.name, "modeldeployment.yaml",
    ]  # fmt: skip


def test_the_same_model_and_rows_give_the_same_digest(package, loan, tmp_path):
    package(*loan, RUN)
    first = manifest_of(tmp_path / "out")
    package(
        *loan[:-1], tmp_path / "again", RUN, "--uri-prefix", "s3://models/loans/", "--version", "7"
    )
    again = manifest_of(tmp_path / "again")["spec"]["model"]
    assert again["digest"] == first["spec"]["model"]["digest"]
    assert again["uri"].startswith("s3://models/loans/loan-model-")
    assert again["version"] == "7"


@pytest.mark.parametrize("kind", ["forest", "svc", "pairs", "search"])
def test_other_estimators_of_arrays(package, animals, tmp_path, kind):
    """Without names of columns, of several classes, as compressed joblib and plain pickle."""
    model = {
        "forest": RandomForestClassifier(7, max_depth=4, random_state=0, n_jobs=2),
        "svc": SVC(),
        "pairs": OneVsOneClassifier(LogisticRegression()),
        "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    }[kind]
    rows = animals.rows.to_numpy()
    model.fit(rows[:500], animals.labels[:500])
    path = tmp_path / "model.pkl"
    if kind == "svc":
        path.write_bytes(pickle.dumps(model, protocol=5))
    else:
        joblib.dump(model, path, compress=3 if kind == "forest" else 0)
    table = animals.rows[500:].assign(label=animals.labels[500:])
    table.to_parquet(tmp_path / "rows.parquet")
    text = package(path, "--reference", tmp_path / "rows.parquet", "-o", tmp_path / "out", RUN)
    assert "400 rows, scores at most" in text
    (artifact,) = (tmp_path / "out").glob("*.skops")
    trusted = re.findall(r"operator.trustedTypes=\{(.*?)\}", text)
    types = trusted[0].split(",") if trusted else []
    assert ("sklearn.tree._tree.Tree" in types) == (kind == "forest")
    assert ("best estimator is packaged" in text) == (kind == "search")
    candidate = Candidate(artifact, Rule(), types)
    names = np.array(candidate.classes)
    assert (names[candidate.score(rows).predicted] == model.predict(rows)).all()
    metrics = manifest_of(tmp_path / "out")["spec"]["rollout"]["analysis"]["metrics"]
    assert {each["average"] for each in metrics} == {"Macro"}


def test_a_directory_of_mlflow(package, loan, pipeline, tmp_path):
    folder = tmp_path / "mlruns"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(pipeline))
    flavor = {"pickled_model": "model.pkl", "sklearn_version": "1.9.0", "code": None}
    document = {
        "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}, "sklearn": flavor}
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    text = package(folder, *loan[1:], RUN, "--name", "loans")
    assert "It was written with scikit-learn 1.9.0" in text
    package(folder / "MLmodel", *loan[1:], RUN, "--name", "loans")
    for change, message in (
        ({"sklearn_version": "1.5.2"}, "was written with scikit-learn 1.5.2, and here is"),
        ({"pickled_model": "../Loan model.joblib"}, "names a model outside of its directory"),
        ({"pickled_model": None}, "has the flavours python_function, sklearn; only"),
    ):
        document["flavors"]["sklearn"] = flavor | change
        (folder / "MLmodel").write_text(yaml.safe_dump(document))
        assert message in package(folder, *loan[1:], RUN, "--name", "loans", code=2)
    (folder / "MLmodel").write_text("- no description")
    assert "is no description of an MLflow model" in package(
        folder, *loan[1:], RUN, "--name", "loans", code=2
    )


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["ASSAY_TEST_TRACE"],)


def test_no_code_runs_unless_asked(package, loan, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    monkeypatch.setenv("ASSAY_TEST_TRACE", str(trace))
    loan[0].write_bytes(pickle.dumps(Bomb()))
    text = package(*loan, code=2)
    assert "is a pickle. Opening it runs whatever code is in it, as you" in text
    assert RUN in text
    # A file of another scikit-learn is known by its bytes: even then nothing has to run.
    old = pickle.dumps({"_sklearn_version": "1.2.1", "bomb": Bomb()})
    loan[0].write_bytes(old)
    assert "was written with scikit-learn 1.2.1" in package(*loan, RUN, code=2)
    # The folder is wrong before the model is opened.
    assert "has no column 'truth'" in package(*loan, RUN, "--label", "truth", code=2)
    assert not trace.exists()
    loan[0].write_bytes(pickle.dumps(Bomb()))
    assert "holds a NoneType, and no model" in package(*loan, RUN, code=2)
    assert trace.exists()
    assert not (tmp_path / "out").exists()


def test_calibration(package, loan, loans, pipeline, tmp_path):
    text = package(*loan, RUN, "--calibrate", "sigmoid")
    assert "The scores are calibrated on these rows" in text
    (artifact,) = (tmp_path / "out").glob("*.skops")
    assert "trustedTypes" not in text
    candidate = Candidate(artifact, Rule())
    rest = loans[400:].drop(columns="label")
    from sklearn.frozen import FrozenEstimator

    expected = CalibratedClassifierCV(FrozenEstimator(pipeline), ensemble=False)
    expected.fit(rest, loans[400:]["label"])
    given = candidate.score(rest.to_numpy(object)).probabilities
    np.testing.assert_allclose(given, expected.predict_proba(rest), atol=1e-9)
    assert not np.allclose(given, pipeline.predict_proba(rest), atol=1e-3)


def test_a_signature_that_the_server_accepts(package, loan, tmp_path, key_pair):
    from assay_server.artifacts.signature import verify

    private, signers = key_pair
    text = package(*loan, RUN, "--sign-key", private)
    assert "kubectl create secret generic loan-model-signers" in text
    model = manifest_of(tmp_path / "out")["spec"]["model"]
    assert model["signature"] == {"publicKeySecretName": "loan-model-signers"}
    (signature,) = (tmp_path / "out").glob("*.sig")
    name = signature.name.removesuffix(".sig")
    assert verify(signature.read_bytes(), signers, name, model["digest"]) == "team.pub"
    (tmp_path / "no.pem").write_text("nothing")
    assert "no.pem: is no private key" in package(
        *loan, RUN, "--sign-key", tmp_path / "no.pem", code=2
    )


def test_an_artifact_that_says_something_else_is_not_written(package, loan, tmp_path, monkeypatch):
    from assay_workbench.packaging import fidelity

    ask = fidelity.Original.ask

    def shifted(self, rows):
        predicted, scores = ask(self, rows)
        scores[-1] += 1e-6
        return predicted, scores

    monkeypatch.setattr(fidelity.Original, "ask", shifted)
    text = package(*loan, RUN, code=2)
    assert "row 300: the packaged model does not say what the trained one says" in text
    assert list((tmp_path / "out").iterdir()) == []


def test_constant_scores_are_said(package, loan, loans, tmp_path):
    rest = loans[:400]
    joblib.dump(DummyClassifier().fit(rest[["income"]], rest["label"]), loan[0])
    text = package(*loan, RUN)
    assert "All rows have the same score of class 'paid'" in text


def test_what_is_wrong_is_said(package, loan, loans, pipeline, tmp_path):
    path, data = loan[0], loan[2]
    rest = loans[400:]

    def refused(*words, model=None, rows=None):
        if model is not None:
            joblib.dump(model, path)
        if rows is not None:
            rows.to_csv(data, index=False)
        text = package(*loan, RUN, *words, code=2)
        assert not list((tmp_path / "out").glob("*"))
        return text

    assert "has no column 'income'" in refused(rows=rest.drop(columns="income"))
    unseen = refused(rows=rest.assign(label=["odd", *rest["label"][1:]]))
    assert "row 1: column 'label': 'odd' is no class of the model" in unseen
    assert "all 300 rows are of class 'paid'" in refused(rows=rest.assign(label="paid"))
    assert "row 3: column 'income' has no value" in refused(
        rows=rest.assign(income=[1, 2, None, *rest["income"][3:]])
    )
    assert "row 1: column 'label' is empty" in refused(
        rows=rest.assign(label=[None, *rest["label"][1:]])
    )
    assert "has no rows" in refused(rows=rest[:0])
    assert "'best' is no class of the model" in refused("--positive", "best", rows=rest)
    assert "must be at most 40 lower-case letters" in refused("--name", "Loan_Model")
    assert "--sign-key" in refused("--sign-key", tmp_path / "gone.pem")
    assert "the manifest would be refused: spec.model.uri" in refused("--uri-prefix", "ftp://a")
    numbers = rest[["income"]]
    assert "holds a regressor (LinearRegression)" in refused(
        model=LinearRegression().fit(numbers, numbers["income"])
    )
    assert "LogisticRegression that is not fitted" in refused(model=LogisticRegression())
    assert "holds a dict, and no model" in refused(model={"model": pipeline})
    few = refused("--calibrate", "isotonic", model=pipeline, rows=rest.sort_values("label")[-2:])
    assert "fewer than two rows of class 'late'" in few
    path.write_bytes(b"a,b\n1,2\n")
    assert "is no model: neither a joblib, pickle or skops file" in refused(rows=rest)
    path.write_bytes(pickle.dumps(pipeline)[:-40])
    assert "cannot be opened as a joblib or pickle file" in refused()
    path.write_bytes(b"cno_such_module\nModel\n.")
    assert "needs the module no_such_module" in refused()
    path.write_bytes(b"cassay_workbench\nGone\n.")
    assert "needs what is not here" in refused()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "no model")
    assert "is not a skops file" in refused()


def test_what_the_server_would_read(package, loan, tmp_path):
    """A packaged file can be packaged again, and comes out the same."""
    package(*loan, RUN)
    (made,) = (tmp_path / "out").glob("*.skops")
    words = [made, *loan[1:-1], tmp_path / "again", "--name", "loan-model"]
    package(*words)
    assert [each.name for each in (tmp_path / "again").glob("*.skops")] == [made.name]
    assert json.dumps(manifest_of(tmp_path / "again")) == json.dumps(manifest_of(tmp_path / "out"))


def test_onnx(package, loan, loans, tmp_path):
    """With columns chosen by name, a gap to fill, and the reference in the metadata."""
    from assay_server.artifacts.onnx_file import load_onnx

    numbers = loans[["age", "income"]]
    columns = ColumnTransformer(
        [("age", make_pipeline(SimpleImputer(), StandardScaler()), ["age"])],
        remainder=StandardScaler(),
    )
    model = make_pipeline(columns, LogisticRegression()).fit(numbers[:400], loans["label"][:400])
    joblib.dump(model, loan[0])
    text = package(*loan, RUN, "--onnx", "--positive", "late", "--threshold", 0.5)
    assert "trustedTypes" not in text
    document = manifest_of(tmp_path / "out")["spec"]["model"]
    assert document["format"] == "Onnx"
    (artifact,) = (tmp_path / "out").glob("*.onnx")
    assert document["digest"] == digest_of(artifact)
    with artifact.open("rb") as file:
        reference = Reference.parse(load_onnx(file)[1])
    assert [each.name for each in reference.features] == ["age", "income"]
    candidate = Candidate(artifact, Rule("late", 0.5))
    given = candidate.score(numbers[400:].to_numpy())
    expected = model.predict_proba(numbers[400:])
    np.testing.assert_allclose(given.probabilities, expected, atol=1e-5)
    assert (np.array(["late", "paid"])[given.predicted] == model.predict(numbers[400:])).all()


def test_onnx_without_a_way(package, loan):
    assert "the model takes columns of text" in package(*loan, RUN, "--onnx", code=2)
