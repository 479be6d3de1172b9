"""Tables of labels: CSV and Parquet, read in batches, with errors that say where."""

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from assay.labels import table
from assay.labels.log import SCHEMA
from assay.labels.table import Columns, Line, TableError, read_labels, rows_of, write_log

BY_ID = Columns("label", request_id="id")


def write(path, text):
    path.write_text(text)
    return path


def test_text_of_a_csv_stays_text(tmp_path):
    file = write(tmp_path / "a.csv", "label,other,id\n01,x,007\n1,y,1e3\n")
    assert [line.entry for line in read_labels(file, BY_ID)] == [
        {"id": "007", "label": "01"},
        {"id": "1e3", "label": "1"},
    ]


def test_quoted_line_ends_belong_to_their_value(tmp_path):
    file = write(tmp_path / "a.csv", 'id,label\n"a\nb",1\nc,0\n')
    assert [(line.number, line.entry["id"]) for line in read_labels(file, BY_ID)] == [
        (1, "a\nb"),
        (2, "c"),
    ]


def test_another_delimiter(tmp_path):
    file = write(tmp_path / "a.tsv", "id\tlabel\nx\t1,5\n")
    assert next(read_labels(file, BY_ID, "\t")).entry == {"id": "x", "label": "1,5"}


def test_parquet_keeps_its_types_but_ids_are_text(tmp_path):
    file = tmp_path / "a.parquet"
    pa.parquet.write_table(
        pa.table({"id": [7, 8], "label": [True, None], "row": [0, 3], "p": [0.5, None]}), file
    )
    columns = Columns("label", request_id="id", row="row", probability="p")
    assert [line.entry for line in read_labels(file, columns)] == [
        {"id": "7", "label": True, "row": 0, "probability": 0.5},
        {"id": "8", "row": 3},
    ]
    assert rows_of(file) == 2


def test_a_large_table_comes_in_batches_and_in_order(tmp_path):
    file = tmp_path / "a.parquet"
    count = 2 * table.ROWS_PER_READ + 3
    pa.parquet.write_table(
        pa.table({"r": [str(n) for n in range(count)], "label": ["1"] * count}), file
    )
    lines = list(read_labels(file, Columns("label", receipt="r")))
    assert [line.number for line in lines] == list(range(1, count + 1))
    assert lines[-1].entry == {"receipt": str(count - 1), "label": "1"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("id,truth\n1,1\n", "has no column 'label'; it has id, truth"),
        ("id,label,p\n1,1,often\n", "row 1: column 'p': 'often' is no number"),
        ("id,label,p\n1,1,1\n2,1\n", "Expected 3 columns, got 2"),
    ],
)
def test_what_is_wrong_names_file_and_place(tmp_path, text, says):
    file = write(tmp_path / "labels.csv", text)
    with pytest.raises(TableError) as caught:
        list(
            read_labels(
                file, Columns("label", request_id="id", probability="p" if "p" in text else None)
            )
        )
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    file = write(tmp_path / "labels.parquet", "id,label\n")
    with pytest.raises(TableError, match=r"labels\.parquet"):
        list(read_labels(file, BY_ID))


def test_rejects_can_be_pushed_again(tmp_path):
    lines = [
        Line(3, {"id": "007", "label": "1", "probability": 0.5}),
        Line(9, {"id": "8", "row": 2, "label": "x"}),
    ]
    file = tmp_path / "rejects.csv"
    table.write_rejects(
        file, [(line, "unknown_label", "the label is not one of: 0, 1") for line in lines]
    )
    columns = Columns("label", request_id="id", row="row", probability="probability")
    assert [line.entry for line in read_labels(file, columns)] == [line.entry for line in lines]
    assert "unknown_label" in file.read_text()


@pytest.mark.parametrize("name", ["log.parquet", "log.csv"])
def test_a_log_is_written_whole_or_not_at_all(tmp_path, name):
    head = b"id,more,served_at,label,step\n"
    pages = [head + b"007,x,2026-11-26T01:02:03Z,01,5\n", head, head + b'x,"\n",,,\n']
    path = tmp_path / name
    assert write_log(iter(pages), path, SCHEMA) == 2
    read = pa.parquet.read_table if name.endswith("parquet") else pa.csv.read_csv
    found = read(path)
    assert found.column_names == SCHEMA.names
    if name.endswith("parquet"):
        assert found.schema.equals(SCHEMA)
        assert found.column("id").to_pylist() == ["007", "x"]
        assert found.column("label").to_pylist() == ["01", None]
        assert found.column("predicted").null_count == 2

    with pytest.raises(TableError):
        write_log([head, b"id,step\nx,many\n"], tmp_path / "other.parquet", SCHEMA)
    assert [item.name for item in tmp_path.iterdir()] == [name]
