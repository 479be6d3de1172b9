"""Canaries without errors are promoted where labels have weights and where traffic is shadowed.

Both directions keep their 5 % at the border (Wilson's one-sided 95 % limit), in 4 000 trials.
"""

import pytest

from tests.simulation.ends import upper
from tests.simulation.experiments import flawless
from tests.simulation.goals import false_verdicts

RUNS = 4000
CASES = flawless.cases()
AT_BORDERS = [name for name in CASES if not name.endswith("no errors")]
WITHOUT_ERRORS = [name for name in CASES if name.endswith("no errors")]


@pytest.mark.parametrize("name", AT_BORDERS)
def test_both_directions_keep_their_error_rates(name):
    for mode, tally in CASES[name].run(RUNS)["ours"].items():
        for verdict in false_verdicts(name, mode):
            assert upper(tally[verdict], RUNS) <= 0.05, (mode, verdict, tally)


@pytest.mark.parametrize("name", WITHOUT_ERRORS)
def test_a_canary_without_errors_is_promoted(name):
    for tally in CASES[name].run(100)["ours"].values():
        assert tally["promoted"] == 100
