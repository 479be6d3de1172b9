"""Reading tables: any size, and what is wrong with one is named."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from assay_workbench import dataset
from assay_workbench.dataset import Dataset
from assay_workbench.errors import WorkbenchError


def csv(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def rows_of(found, columns):
    return [
        (batch.first + place, *(batch.columns.column(name)[place].as_py() for name in columns))
        for batch in found.batches(columns)
        for place in range(batch.columns.num_rows)
    ]


def test_a_csv_stays_text_and_rows_have_numbers(tmp_path):
    found = Dataset.open(csv(tmp_path, "id,label\n007,a\n,b\n"), "label")
    assert rows_of(found, ["label", "id"]) == [(1, "a", "007"), (2, "b", None)]
    assert found.rows() is None


def test_batches_go_on_counting(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "BYTES_PER_BLOCK", 64)
    text = "a,label\n" + "".join(f"{place},x\n" for place in range(200))
    found = Dataset.open(csv(tmp_path, text), "label")
    assert len(list(found.batches(["a"]))) > 5
    assert rows_of(found, ["a"]) == [(place + 1, str(place)) for place in range(200)]


def test_a_parquet_file_comes_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "ROWS_PER_BATCH", 7)
    path = tmp_path / "data.parquet"
    pyarrow.parquet.write_table(pa.table({"a": range(20), "label": ["x"] * 20}), path)
    found = Dataset.open(path, "label")
    assert found.rows() == 20
    assert rows_of(found, ["a"]) == [(place + 1, place) for place in range(20)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has no column 'label'; it has 'a', 'b' .*--label"),
        ("a,a,label\n1,2,x\n", "two columns 'a'"),
        ("a;label\n1;x\n", "separated by ';'.*--delimiter"),
    ],
    ids=["empty", "no label", "two of a name", "another delimiter"],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(WorkbenchError, match=message):
        Dataset.open(csv(tmp_path, text), "label")


def test_a_broken_row_is_named(tmp_path):
    found = Dataset.open(csv(tmp_path, "a,label\n1,x\n2\n"), "label")
    with pytest.raises(WorkbenchError, match=r"data.csv: .*Expected 2 columns"):
        rows_of(found, ["a"])


def test_another_encoding(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("a,label\n1,é\n".encode("latin1"))
    with pytest.raises(WorkbenchError, match="save the file as UTF-8"):
        rows_of(Dataset.open(path, "label"), ["label"])


def test_a_file_that_is_no_parquet(tmp_path):
    path = tmp_path / "data.parquet"
    path.write_text("a,label\n")
    with pytest.raises(WorkbenchError, match=r"data.parquet: "):
        Dataset.open(path, "label")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WorkbenchError, match="No such file"):
        Dataset.open(tmp_path / "none.csv", "label")
