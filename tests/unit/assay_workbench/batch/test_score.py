"""`assay score`: what it writes, that it goes on where it stopped, and what it refuses."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import skops.io
from sklearn.svm import SVC

from assay_workbench.batch.part import KEY, Writer


def test_columns_and_values_are_the_models(score, output, sizes, binary, table, tmp_path):
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=130)
    text = score(
        binary.model, tmp_path / "rows.parquet", "-o", tmp_path / "out", "--rows-per-shard", 400,
        "--label", "label", "--id-column", "order",
    )  # fmt: skip
    assert "900 rows in 3 parts" in text
    assert sizes(tmp_path / "out") == [400, 400, 100]
    found = output(tmp_path / "out")
    assert list(found) == ["order", "prediction", "score_bad", "score_good", "label"]
    assert (found["order"] == table["order"]).all()
    assert (found["prediction"] == binary.predicted).all()
    assert (found["label"] == binary.labels).all()
    given = found[["score_bad", "score_good"]].to_numpy()
    np.testing.assert_allclose(given, binary.scores, atol=1e-12)
    metadata = pyarrow.parquet.read_schema(tmp_path / "out/part-00001.parquet").metadata
    document = json.loads(metadata[KEY])
    assert document["data"]["first"] == 401
    assert document["part"] == {"number": 1, "of": 3}
    assert document["model"].startswith("sha256:")


def test_files_of_both_kinds_are_numbered_on(score, output, sizes, animals, tmp_path):
    """Parquet and CSV, in a directory, and a pattern: parts never cross files."""
    (tmp_path / "rows").mkdir()
    animals.rows[:500].to_csv(tmp_path / "rows/a.csv", index=False)
    animals.rows[500:].to_parquet(tmp_path / "rows/b.parquet")
    (tmp_path / "rows/notes.txt").write_text("not a table")
    for words, out in (([tmp_path / "rows"], "one"), ([tmp_path / "rows/*.[cp]*"], "two")):
        score(animals.model, *words, "-o", tmp_path / out, "--rows-per-shard", 300)
        assert sizes(tmp_path / out) == [300, 200, 300, 100]
        found = output(tmp_path / out)
        assert (found["row"] == np.arange(1, 901)).all()
        assert (found["prediction"] == animals.predicted).all()
        given = found[["score_ant", "score_bee", "score_cat"]].to_numpy()
        np.testing.assert_allclose(given, animals.scores, atol=1e-12)


def test_a_threshold_and_empty_labels(score, output, binary, table, tmp_path):
    table.loc[3, "label"] = None
    table.to_csv(tmp_path / "rows.csv", index=False)
    score(
        binary.model, tmp_path / "rows.csv", "-o", tmp_path / "out", "--threshold", 0.3,
        "--positive", "good", "--label", "label",
    )  # fmt: skip
    found = output(tmp_path / "out")
    expected = np.where(binary.scores[:, 1] >= 0.3, "good", "bad")
    assert (found["prediction"] == expected).all()
    assert found["label"].isna().to_numpy().nonzero()[0].tolist() == [3]


def test_models_with_decisions_or_no_scores(score, output, ridge, binary, tmp_path):
    binary.rows.to_parquet(tmp_path / "rows.parquet")
    score(ridge, tmp_path / "rows.parquet", "-o", tmp_path / "ridge")
    fitted = skops.io.load(ridge)
    found = output(tmp_path / "ridge")
    decisions = fitted.decision_function(binary.rows)
    np.testing.assert_allclose(found["score_good"], decisions, atol=1e-12)
    np.testing.assert_allclose(found["score_bad"], -decisions, atol=1e-12)
    pairs = SVC(decision_function_shape="ovo").fit(binary.rows, np.arange(900) % 4)
    skops.io.dump(pairs, tmp_path / "pairs.skops")
    score(tmp_path / "pairs.skops", tmp_path / "rows.parquet", "-o", tmp_path / "pairs")
    assert list(output(tmp_path / "pairs")) == ["row", "prediction"]


def test_finished_parts_are_kept_and_others_refused(score, binary, animals, table, tmp_path):
    data, out = tmp_path / "rows.parquet", tmp_path / "out"
    table.to_parquet(data)
    words = [binary.model, data, "-o", out, "--rows-per-shard", 300]
    score(*words)
    kept = (out / "part-00000.parquet").stat().st_ino
    (out / "part-00001.parquet").unlink()
    (out / ".part-00001.parquet.left").write_bytes(b"of a killed run")
    assert "300 rows in 1 parts, 2 were there" in score(*words)
    assert (out / "part-00000.parquet").stat().st_ino == kept
    assert sorted(path.name for path in out.iterdir()) == [
        f"part-0000{number}.parquet" for number in range(3)
    ]
    for changed, message in (
        ([binary.baseline, *words[1:]], "the model's digest was"),
        ([*words[:-1], 450], "part-00002.parquet: is of another run, this one has 2 parts"),
        ([*words[:-1], 900], "part-00001.parquet: is of another run, this one has 1 parts"),
        ([*words, "--label", "label"], "the column of labels was null"),
        ([*words, "--id-column", "order"], "the columns that name a row"),
        ([*words, "--threshold", 0.2], "the decision rule"),
    ):
        assert message in score(*changed, code=2)
    table.assign(f0=table["f0"] + 1e-9).to_parquet(data)
    assert "the data or the bounds of the shard" in score(*words, code=2)
    assert sum(1 for _ in out.iterdir()) == 3


def test_a_killed_run_goes_on_with_every_row_once(score, output, binary, table, tmp_path):
    data, out = tmp_path / "rows.parquet", tmp_path / "out"
    many = pd.concat([table] * 60, ignore_index=True).assign(order=np.arange(54_000))
    many.to_parquet(data)
    words = [binary.model, data, "-o", out, "--id-column", "order", "--rows-per-shard", 500]
    code = "from assay.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "score", *map(str, words)], stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(list(out.glob("part-*"))) < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    there = len(list(out.glob("part-*")))
    assert 5 <= there < 108
    assert f"{there} were there" in score(*words)
    found = output(out)
    assert (found["order"] == many["order"]).all()
    assert not list(out.glob(".part-*"))


@pytest.fixture
def _interruptible():
    """Whoever runs the tests in the background of a shell has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "TERM"]
)
def test_a_stopped_run_leaves_whole_parts_only(
    score, output, sizes, binary, table, tmp_path, monkeypatch, number, code
):
    """The signal comes in the middle of the third part, when a temporary file is there."""
    data, out = tmp_path / "rows.csv", tmp_path / "out"
    table.to_csv(data, index=False)
    close, left = Writer.close, []

    def stopped(writer):
        if (out / "part-00001.parquet").exists():
            left.extend(out.glob(".part-00002*"))
            signal.raise_signal(number)
        close(writer)

    words = [binary.model, data, "-o", out, "--rows-per-shard", 200, "--id-column", "order"]
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "close", stopped)
        said = score(*words, code=code)
    assert "stopped; 2 of 5 parts are in" in said
    assert "the same command goes on" in said
    assert len(left) == 1
    assert len(list(out.iterdir())) == 2
    assert sizes(out) == [200, 200]
    assert "500 rows in 3 parts, 2 were there" in score(*words)
    assert (output(out)["order"].astype(int) == table["order"]).all()


def test_shares_of_the_work_are_all_of_it(score, output, animals, tmp_path):
    animals.rows[:700].to_parquet(tmp_path / "a.parquet")
    animals.rows[700:].to_parquet(tmp_path / "b.parquet")
    words = [animals.model, tmp_path / "*.parquet", "-o", tmp_path / "out", "--rows-per-shard", 100]
    score(*words, "--shard", "2/3")
    assert len(list((tmp_path / "out").iterdir())) == 3
    for index in (0, 1):
        score(*words, "--shards", 3, env={"JOB_COMPLETION_INDEX": str(index)})
    assert (output(tmp_path / "out")["prediction"] == animals.predicted).all()
    assert "0 rows in 0 parts, 9 were there" in score(*words)


def test_what_is_wrong_is_said(score, binary, animals, table, tmp_path):
    model, data, out = binary.model, tmp_path / "rows.csv", tmp_path / "out"
    table.to_csv(data, index=False)
    (tmp_path / "empty").mkdir()
    table[:0].to_parquet(tmp_path / "none.parquet")
    table.assign(f1=["x" if row == 7 else 1 for row in range(900)]).to_csv(
        tmp_path / "text.csv", index=False
    )
    table.assign(f1=[None if row == 7 else 1.0 for row in range(900)]).to_csv(
        tmp_path / "gap.csv", index=False
    )
    table.assign(label="ugly").to_csv(tmp_path / "ugly.csv", index=False)
    table.drop(columns=["f2", "f3"]).to_csv(tmp_path / "less.csv", index=False)
    for words, message in (
        ([tmp_path / "nothing.csv"], "nothing.csv: No such file"),
        ([tmp_path / "empty"], "is a directory without a Parquet or CSV file"),
        ([f"{tmp_path}/*.tsv"], "is a pattern that no Parquet or CSV file matches"),
        ([data, data], "is named twice"),
        ([tmp_path / "none.parquet"], "none.parquet: has no rows"),
        ([tmp_path / "text.csv"], "row 8: column 'f1': 'x' is no number"),
        ([tmp_path / "gap.csv"], "row 8: column 'f1' has no value"),
        ([tmp_path / "ugly.csv", "--label", "label"], "row 1: column 'label': 'ugly' is no class"),
        ([tmp_path / "less.csv"], "has no columns 'f2', 'f3'"),
        ([data, "--label", "truth"], "has no column 'truth'"),
        ([data, "--id-column", "nr"], "has no column 'nr'"),
        (
            [data, "--id-column", "label", "--label", "label"],
            "is the name of a column of the output",
        ),
        ([data, "--id-column", "f0", "--id-column", "f0"], "'f0' is named twice"),
        ([data, "--shard", "3/3"], "is not I/N with I from 0 to N-1"),
        ([data, "--shard", "0/3", "--shards", 3], "goes in place of --shards"),
        ([data, "--shards", 3], "needs JOB_COMPLETION_INDEX in the environment"),
        ([data, "--positive", "good"], "goes with --threshold"),
        ([data, "--positive", "best", "--threshold", 0.5], "'best' is not a class"),
    ):
        assert message in score(model, *words, "-o", out, code=2), message
    assert "holds DATA" in score(model, data, "-o", tmp_path, code=2)
    assert "is not a skops file" in score(data, data, "-o", out, code=2)
    assert not list(out.glob("*")) if out.exists() else True
