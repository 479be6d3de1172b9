"""Which runs count, what they amount to, and whether the goals hold."""

import pytest

from bench.server.comparison import goals
from bench.server.comparison.results import Results, Run, Visit

NAMES = goals.Names("assay", "echo", ["slow", "fast"])


def run(server, rate, *, turn=1, connections=64, foreign=0.1, model="cancer", errors=0, p99=4.0):
    return Run(
        model=model,
        server=server,
        round=turn,
        connections=connections,
        rate=rate,
        p50=1.0,
        p99=p99,
        corrected_p99=2 * p99,
        errors=errors,
        microseconds=1e6 / rate,
        foreign=foreign,
    )


def visit(*, cold=1.0, resident=100.0):
    return Visit("cancer", "assay", 1, cold, resident, resident)


def goal(found: list[goals.Goal], what: str) -> goals.Goal:
    (one,) = [each for each in found if each.what.startswith(what)]
    return one


def test_a_field_is_the_median_of_the_runs_without_foreign_load():
    results = Results([run("a", 100), run("a", 300, turn=2), run("a", 1, turn=3, foreign=0.36)])
    cell = results.cell("cancer", "a", 64)
    assert (cell.rate, cell.lowest, cell.highest, cell.runs) == (200, 100, 300, 2)
    assert not cell.disturbed
    assert results.dropped() == 1


def test_of_disturbed_runs_the_least_disturbed_one_is_kept_and_marked():
    results = Results([run("a", 100, foreign=0.9), run("a", 50, turn=2, foreign=0.5)])
    cell = results.cell("cancer", "a", 64)
    assert (cell.rate, cell.runs, cell.disturbed) == (50, 1, True)


def test_what_was_not_measured_is_nothing_and_not_zero():
    assert Results().cell("cancer", "a", 64) is None
    assert Results().ratio("cancer", "assay", ["a"], 64) is None
    assert Results().visit("cancer", "a") is None


def test_a_ratio_compares_with_the_best_rival_of_the_same_round():
    results = Results(
        [
            *(run("assay", 1000), run("slow", 50), run("fast", 100)),
            # A round on a machine half as fast changes nothing.
            *(run("assay", 500, turn=2), run("slow", 25, turn=2), run("fast", 50, turn=2)),
        ]
    )
    ratio = results.ratio("cancer", "assay", ["slow", "fast"], 64)
    assert (ratio.value, ratio.rival, ratio.rounds, ratio.disturbed) == (10, "fast", 2, False)


def test_a_round_that_was_disturbed_counts_only_if_there_is_no_other():
    runs = [run("assay", 1000), run("fast", 10, foreign=0.8)]
    alone = Results(runs).ratio("cancer", "assay", ["fast"], 64)
    assert (alone.value, alone.disturbed) == (100, True)
    more = [*runs, run("assay", 1000, turn=2), run("fast", 100, turn=2)]
    both = Results(more).ratio("cancer", "assay", ["fast"], 64)
    assert (both.value, both.disturbed) == (10, False)


@pytest.mark.parametrize(("rate", "holds"), [(1200, True), (1199, False)])
def test_a_goal_holds_at_its_bound(rate, holds):
    results = Results([run("assay", rate), run("fast", 100)])
    found = goal(goals.judge(results, NAMES), "cancer, 64 connections: times")
    assert found.holds is holds
    assert "fast" in found.measured


def test_goals_on_latency_memory_start_and_errors_are_strict():
    good = Results([run("assay", 1000, p99=4.99)], [visit(cold=1.99, resident=143)])
    bad = Results([run("assay", 1000, p99=5.0, errors=1)], [visit(cold=2.0, resident=144)])
    for what in (
        "cancer, 64 connections: p99",
        "cancer: memory",
        "cancer: first",
        "all models: errors",
    ):
        assert goal(goals.judge(good, NAMES), what).holds is True, what
        assert goal(goals.judge(bad, NAMES), what).holds is False, what
    latency = goal(goals.judge(good, NAMES), "cancer, 64 connections: p99")
    assert latency.measured == "4.99 ms (wrk's 9.98)"


def test_a_goal_without_measurements_neither_holds_nor_fails():
    assert {each.holds for each in goals.judge(Results(), NAMES)} == {None}
