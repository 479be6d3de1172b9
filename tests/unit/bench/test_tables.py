"""The report as text, and its place in a document."""

import pytest

from bench.server.comparison import tables
from bench.server.comparison.goals import Goal
from bench.server.comparison.measurement import Plan
from bench.server.comparison.report import report
from bench.server.comparison.results import Results, Run, Visit
from bench.server.comparison.servers import OWN, PEERS


def measured():
    def run(connections, turn, rate, foreign=0.1):
        return Run("cancer", "assay", turn, connections, rate, 0.5, 7.5, 12.3, 0, 40.0, foreign)

    return Results(
        [run(1, 1, 1000.0, 0.9), run(64, 1, 20000.0), run(64, 2, 30000.0)],
        [Visit("cancer", "assay", 1, 1.234, 130.4, 120.0)],
    )


def test_a_report_replaces_the_last_one_and_nothing_else():
    document = f"before\n\n{tables.BEGIN}\n\nold\n\n{tables.END}\n\nafter\n"
    once = tables.place(document, "new")
    assert once == f"before\n\n{tables.BEGIN}\n\nnew\n\n{tables.END}\n\nafter\n"
    assert tables.place(once, "new") == once


@pytest.mark.parametrize("document", ["", f"{tables.BEGIN}", f"{tables.END} {tables.BEGIN}"])
def test_a_document_without_both_markers_is_left_alone(tmp_path, document):
    path = tmp_path / "document.md"
    path.write_text(document)
    with pytest.raises(tables.NoPlaceError):
        tables.write(path, "new")
    assert path.read_text() == document


def test_a_table_has_a_row_for_each_server_that_was_measured():
    text = tables.model_table(measured(), "cancer", [("assay", "Ours"), ("b", "B")], [1, 16, 64])
    head, _rule, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")
    ]
    assert head[:3] == ["server", "c1 req/s", "p50 / p99 (wrk's) ms"]
    assert rows == [
        [
            *("Ours", "~1 000", "0.50 / 7.50 (12)", "-", "-"),
            *("25 000 (20 000-30 000)", "0.50 / 7.50 (12)"),
            *("40.0", "0", "130 / 120", "1.23"),
        ]
    ]


def test_a_report_names_versions_failures_and_what_was_left_out():
    runs = [
        Run("cancer", server, 1, 64, rate, 0.5, 2.0, 3.0, 0, cost, foreign)
        for server, rate, cost, foreign in (
            ("assay", 26_000.0, 40.0, 0.1),
            ("kserve", 1_000.0, 1_000.0, 0.1),
            ("fastapi", 2_000.0, 500.0, 0.1),
            ("fastapi", 1_000.0, 500.0, 0.5),
        )
    ]
    plan = Plan([*OWN, *PEERS], ["cancer"], [64], seconds=2, rounds=1)
    results = Results(runs, [Visit("cancer", "assay", 1, 1.0, 100.0, 90.0)])
    text = report(results, plan, {"bentoml": "no\nlog"}, command="python x", where="a machine")
    assert text.startswith("`python x`, ")
    assert "1 of 4 runs" in text
    assert "13.0 (fastapi)" in text
    assert "12.5 times less than the thriftiest peer's (fastapi)" in text
    assert "Failed: bentoml: no" in text
    assert "log" not in text.rpartition("Failed")[2]
    assert "- assay, echo: httptools " in text
    assert "mlserver 1.7.1" in text


def test_a_goal_that_is_missed_stands_out():
    text = tables.goal_table([Goal("a", "< 1", "2", False), Goal("b", "< 1", "", None)])
    assert "**missed**" in text
    assert "not measured" in text


@pytest.mark.parametrize(
    ("value", "text"), [(1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12 346")]
)
def test_numbers_have_three_digits(value, text):
    assert tables.number(value) == text
