"""Labels from a table to a real ledger, and its log back, by the operator's own commands."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from assay.cli import main as assay
from assay.labels.log import SCHEMA
from assay_server.ledger.bins import fine_bin_of, score_of
from assay_server.ledger.log import COLUMNS, PAGE_ROWS, csv_of
from assay_server.ledger.predictions import Cell, Row, State, packed
from tests.unit.assay_server.ledger.messages import SERVED

LOG = "/v2/models/fraud/labels"
# A time that no store can look for; the ledger once ended over it.
BEYOND = ("after=99999999999999999999:00", "after")


@pytest.fixture
def guarded(start, ledger_arguments, tmp_path):
    """A ledger that asks for tokens, and the files they are in."""
    for name in ("label", "export"):
        (tmp_path / name).write_text(f"the-{name}-token\n")
    arguments = ledger_arguments(
        *(tmp_path / "l.db", "--members", '{"east": null}'),
        *("--label-token-file", tmp_path / "label", "--export-token-file", tmp_path / "export"),
    )
    with start(*arguments) as process:
        yield process


def test_the_columns_are_those_that_the_operator_knows():
    assert list(COLUMNS) == SCHEMA.names


def test_labels_from_a_table_are_counted_once_and_come_back_in_the_log(guarded, sign, tmp_path):
    count = 2 * PAGE_ROWS + 7
    tokens = sign(count)
    orders = [f"00{number}" for number in range(count)]
    for first in range(0, count, 9000):
        last = min(first + 9000, count)
        served = [[orders[place], 0, tokens[place]] for place in range(first, last)]
        assert guarded.request("POST", SERVED, {"served": served}).json()["taken"] == last - first
    table = tmp_path / "labels.csv"
    lines = ["order,truth,chance", *(f"{order},{int(order) % 2},0.5" for order in orders[:-1])]
    table.write_text("\n".join([*lines, f"{orders[-1]},9,", "unheard,1,", ""]))

    def run(*arguments):
        result = CliRunner().invoke(
            assay, ["labels", *map(str, arguments), *("--name", "fraud", "--retry-seconds", 0)]
        )
        return result.exit_code, result.output

    url = f"http://127.0.0.1:{guarded.port}"
    push = ("push", table, "--ledger", url, "--id-column", "order", "--label-column", "truth")
    push += ("--probability-column", "chance", "--rejects", tmp_path / "rejects.csv")
    code, output = run(*push)
    assert (code, "is the token right?" in output) == (3, True), output
    push += ("--token-file", tmp_path / "label")
    for status in ("counted", "duplicate"):
        code, output = run(*push)
        assert code == 1
        assert f"{count - 1:,}  {status}" in output
    rejects = list(csv.DictReader((tmp_path / "rejects.csv").open()))
    assert {line["id"]: line["status"] for line in rejects} == {
        orders[-1]: "unknown_label",
        "unheard": "unknown_id",
    }

    saved = tmp_path / "log.parquet"
    code, output = run("export", "--ledger", url, "--token-file", tmp_path / "label", "-o", saved)
    assert (code, "401" in output, saved.exists()) == (3, True, False), output
    code, output = run("export", "--ledger", url, "--token-file", tmp_path / "export", "-o", saved)
    assert (code, f"{count} labelled predictions" in output) == (0, True), output
    found = pyarrow.parquet.read_table(saved)
    assert found.schema.equals(SCHEMA)
    rows = {line["id"]: line for line in found.to_pylist()}
    assert rows.keys() == set(orders)
    for order, line in rows.items():
        known = order != orders[-1]
        assert line["label"] == (str(int(order) % 2) if known else None)
        assert (line["counted"], line["shipped"]) == (known, "yes")
        assert line["probability"] == (0.5 if known else None)
        assert (line["predicted"], line["step"], line["rollout"]) == ("1", 2, "x")
        assert (line["labelled_at"] is None) != known


def test_a_page_names_the_next_one(guarded, sign):
    (token,) = sign(1)
    guarded.request("POST", SERVED, {"served": [["a", 0, token]]})
    bearer = {"authorization": "Bearer the-export-token"}
    reply = guarded.request("GET", LOG, headers=bearer)
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert [line["id"] for line in csv.DictReader(io.StringIO(reply.body.decode()))] == ["a"]
    link = reply.headers["link"].removeprefix("<").partition(">")[0]
    last = guarded.request("GET", link, headers=bearer)
    assert (last.body.decode().count("\n"), "link" in last.headers) == (1, False)
    for query, says in (
        ("format=pdf", "csv only"),
        ("after=x", "after"),
        ("after=1:zz", "after"),
        BEYOND,
    ):
        refused = guarded.request("GET", f"{LOG}?{query}", headers=bearer)
        assert (refused.status, says in refused.json()["error"]) == (400, True)
    assert guarded.request("GET", LOG).status == 401


def test_what_is_not_known_is_empty_and_erased_rows_are_left_out():
    cell = Cell("r1", "x", 2, "1", "0", ("0", "1"), "1")
    three = Cell("r2", "", 0, "b", None, ("a", "b", "c"), None)
    bins = fine_bin_of(np.array([0.2, 0.7, 0.1])).tolist()
    found = [
        (Row(0, b"\x01", 0, packed(bins[:1]), b"user!", "a,b", 3, State.COUNTED, 60), cell, None),
        (Row(0, b"\x02", 1, packed(bins), later=0, later_lag=3600), three, cell),
        (Row(0, b"\x03", 2, state=State.ERASED), cell, None),
    ]
    first, second = csv.DictReader(io.StringIO(csv_of(found).decode()))
    assert (first["served_at"], first["labelled_at"]) == (
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:01:00Z",
    )
    assert (first["id"], first["row"], first["counted"]) == ("a,b", "3", "true")
    assert float(first["score"]) == score_of(bins[0]) == pytest.approx(0.2, rel=0.002)
    assert 0 <= int(first["bucket"]) < 128
    assert json.loads(second["scores"]) == pytest.approx({"a": 0.2, "b": 0.7, "c": 0.1}, rel=0.002)
    assert (second["score"], second["label"], second["labelled_at"]) == ("", "", "")
    assert (second["later_label"], second["later_at"]) == ("0", "1970-01-01T01:00:00Z")
