"""The committed results of a complete run, held to the goals."""

import pytest

from tests.simulation import report
from tests.simulation.__main__ import DOCUMENT, RESULTS
from tests.simulation.catalogue import tasks
from tests.simulation.goals import LEAST_RUNS, goals, missing, runs_of

GOALS = 14


@pytest.fixture(scope="module")
def full():
    if not RESULTS.exists():
        pytest.fail(f"{RESULTS} is not there: run `make simulate` and commit what it writes")
    return report.load(RESULTS.read_text())


def test_every_case_was_run_often_enough(full):
    results, meta = full
    assert not missing(results, tasks())
    assert min(meta["runs"], runs_of(results)) >= LEAST_RUNS


def test_every_goal_holds(full):
    found = goals(full[0])
    assert len(found) == GOALS
    failed = [f"{goal.text}: {goal.worst}" for goal in found if not goal.holds]
    assert not failed, "\n".join(failed)


def test_the_document_is_what_the_results_say(full):
    assert DOCUMENT.read_text() == report.render(*full)
