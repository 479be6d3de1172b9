"""When inputs have drifted: what is compared, what counts, what is said."""

import numpy as np
import pytest

from assay.drift import (
    DAY_SECONDS,
    EARLIER_DAYS,
    SPANS,
    Against,
    Decision,
    Sight,
    Window,
    decide,
    fitting_span,
)
from assay.drift.decision import HISTORY_TOO_SHORT, LEAST_ROWS, NO_DRIFT, TOO_FEW_ROWS
from assay.drift.distance import distance, shares
from tests.drift.days import (
    FEATURES,
    FIRST_LOOK,
    STEPS,
    Shift,
    World,
    alarms,
    looks,
    rows_to_alarm,
)

BINS = 10
NIGHT, DAY = (np.linspace(2, 0, BINS), np.linspace(0, 2, BINS))
"""Shares times ten of a feature that is low at night and high by day."""


def window(*lines: np.ndarray, rows: float = 4000, looked_at: float | None = None) -> Window:
    """Return as many rows as said of each feature, spread as its line says."""
    counts = {
        f"f{place}": {str(bin_): rows * share for bin_, share in enumerate(line / line.sum())}
        for place, line in enumerate(lines)
    }
    return Window(counts, rows if looked_at is None else looked_at)


FLAT = np.ones(BINS)
MOVED = np.linspace(0.3, 1.7, BINS)
TRAINED = window(FLAT, FLAT, rows=50_000)
USUAL = window(FLAT, FLAT)
UNUSUAL = window(FLAT, MOVED)
WEEK = (USUAL,) * len(EARLIER_DAYS)


def decided(reference: Window = TRAINED, before=(), **members: Sight) -> Decision:
    return decide(reference, members, 2400, before=before)


def test_inputs_as_in_training_and_as_on_earlier_days_have_not_drifted():
    said = decided(a=Sight(USUAL, USUAL, WEEK))
    assert (said.detected, said.reason, said.findings) == (False, NO_DRIFT, ())
    assert said.message == (
        "2 features are as in training in the last day and as in the same hours of 3 earlier days"
        " in the last 40 min"
    )


def test_a_day_unlike_training_has_drifted_even_if_it_was_always_so():
    said = decided(a=Sight(UNUSUAL, UNUSUAL, (UNUSUAL,) * 3))
    assert (said.detected, said.reason) == (True, "DiffersFromTraining")
    [finding] = said.findings
    assert (finding.feature, finding.against, finding.seconds) == (
        "f1",
        Against.TRAINING,
        DAY_SECONDS,
    )
    assert finding.value > finding.limit
    assert said.message == (
        f"feature f1: PSI {finding.value:.2f} (limit {finding.limit:.2f}) of 4000 rows in the last"
        " 24 h against training"
    )


def test_an_hour_unlike_the_same_hour_of_earlier_days_has_drifted_before_the_day_has():
    said = decided(a=Sight(USUAL, UNUSUAL, WEEK))
    assert (said.detected, said.reason) == (True, "DiffersFromEarlierDays")
    assert said.features == {"f1"}
    assert "rows in the last 40 min against the same hours of earlier days" in said.message


def test_the_time_of_day_is_no_drift():
    night, day = window(NIGHT), window(DAY)
    trained = window(NIGHT + DAY, rows=50_000)
    whole = window(NIGHT + DAY)
    assert decided(trained, a=Sight(whole, night, (night,) * 3)).detected is False
    assert decided(trained, a=Sight(whole, night, (day,) * 3)).detected is True


@pytest.mark.parametrize("known", range(3))
def test_one_earlier_day_that_was_like_the_present_is_enough_against_an_alarm(known):
    days = [USUAL] * 3
    days[known] = UNUSUAL
    assert decided(a=Sight(USUAL, UNUSUAL, tuple(days))).detected is False


def test_days_that_are_not_known_are_not_compared():
    assert decided(a=Sight(USUAL, UNUSUAL, (None, USUAL, None))).detected is True
    assert decided(a=Sight(USUAL, UNUSUAL)).detected is False


def test_before_a_day_has_passed_nothing_is_known():
    said = decided(a=Sight(None, UNUSUAL))
    assert (said.detected, said.reason) == (None, HISTORY_TOO_SHORT)


def test_few_rows_are_not_compared():
    few = window(FLAT, MOVED, rows=LEAST_ROWS - 1)
    said = decided(a=Sight(few, few, (few,) * 3))
    assert (said.detected, said.reason) == (None, TOO_FEW_ROWS)
    assert said.message == (
        "999 rows in the last day, 50000 training rows in the reference; 1000 are needed of each"
    )


def test_a_small_reference_is_not_compared():
    assert decided(window(FLAT, FLAT, rows=500), a=Sight(UNUSUAL)).detected is None


def test_rows_that_stand_for_many_count_as_those_that_were_looked_at():
    one_in_hundred = window(FLAT, MOVED, rows=100_000, looked_at=LEAST_ROWS - 1)
    assert decided(a=Sight(one_in_hundred)).detected is None


def test_what_matters_little_is_no_drift_however_many_rows_say_so():
    slight = window(FLAT, np.linspace(0.8, 1.2, BINS), rows=10_000_000)
    trained = window(FLAT, FLAT, rows=10_000_000)
    assert decided(trained, a=Sight(slight, slight, (trained,) * 3)).detected is False


def test_what_chance_may_make_of_few_rows_is_no_drift():
    """Whatever the number of rows, the limit is far beyond what comes without a difference."""
    random = np.random.default_rng(0)
    for rows in (LEAST_ROWS, 4000, 50_000):
        pairs = random.multinomial(rows, FLAT / BINS, size=(2, 300))
        far = distance(shares(pairs[0]), shares(pairs[1]), (rows, rows), np.full(300, 10.0), 1e-9)
        assert far.psi.mean() == pytest.approx(far.by_chance[0], rel=0.1)
        assert far.psi.max() < far.unlikely[0]


def test_the_distance_is_psi():
    p, q = np.array([[100.0, 300.0]]), np.array([[200.0, 200.0]])
    known = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    found = distance(shares(p), shares(q), (400, 400), np.array([2.0]), 0.01)
    assert found.psi[0] == pytest.approx(known, rel=0.01)
    assert found.by_chance[0] == pytest.approx(1 / 200)


def test_rows_of_all_members_are_added_up():
    part = window(FLAT, MOVED, rows=700)
    assert decided(a=Sight(part), b=Sight(part)).detected is True
    assert decided(a=Sight(part)).detected is None


def test_a_member_without_traffic_is_in_nobodys_way():
    idle = window(FLAT, FLAT, rows=0)
    standby = Sight(idle, idle, (idle,) * 3)
    assert decided(a=Sight(USUAL, UNUSUAL, WEEK), b=standby).detected is True
    assert decided(a=Sight(UNUSUAL), b=standby).detected is True
    assert decided(b=standby).detected is None


def test_traffic_that_moves_between_members_is_no_drift():
    """One member's inputs are low, the other's high; yesterday it had most of the traffic."""
    low, high = Sight(None, window(NIGHT), (window(NIGHT, rows=9000),) * 3), window(DAY, rows=9000)
    moved = Sight(None, high, (window(DAY),) * 3)
    said = decide(window(FLAT, rows=50_000), {"low": low, "high": moved}, 600)
    assert said.detected is False


def test_a_member_that_samples_counts_as_the_rows_that_it_served():
    """Its rows stand for twenty each; the other member looks at all of its few."""
    busy = Sight(None, window(NIGHT, rows=80_000, looked_at=4000), (window(NIGHT),) * 3)
    quiet = Sight(None, window(DAY, rows=4000), (window(DAY),) * 3)
    said = decide(window(FLAT, rows=50_000), {"busy": busy, "quiet": quiet}, 600)
    assert said.detected is False
    assert "3 earlier days" in said.message


def test_a_member_without_history_is_left_out_of_what_is_compared_with_it():
    new = Sight(None, window(FLAT, MOVED, rows=50_000))
    assert decided(a=Sight(USUAL, USUAL, WEEK), b=new).detected is False
    barely = Sight(None, new.present, (window(FLAT, FLAT, rows=20),) * 3)
    assert decided(a=Sight(USUAL, USUAL, WEEK), b=barely).detected is False


def test_what_was_detected_lasts_until_half_of_the_floor():
    fading = Sight(window(FLAT, np.linspace(0.56, 1.44, BINS), rows=20_000))
    assert decided(a=fading).detected is False
    assert decided(a=fading, before={"f1"}).detected is True
    assert decided(a=fading, before={"f0"}).detected is False
    gone = Sight(window(FLAT, np.linspace(0.7, 1.3, BINS), rows=20_000))
    assert decided(a=gone, before={"f1"}).detected is False


def test_the_furthest_features_are_named_and_the_rest_counted():
    lines = [np.linspace(1 - slope, 1 + slope, BINS) for slope in (0.7, 0.95, 0.8, 0.0, 0.9)]
    reference = window(*[FLAT] * 5, rows=50_000)
    said = decided(reference, a=Sight(window(*lines)))
    assert [finding.feature for finding in said.findings] == ["f1", "f4", "f2", "f0"]
    assert said.message.endswith("against training; 1 more")
    assert "feature f0" not in said.message


def test_features_that_the_reference_does_not_know_are_left_out():
    assert decided(a=Sight(window(FLAT, FLAT, MOVED))).detected is False
    assert decide(Window({}, 0), {"a": Sight(USUAL)}, 600).detected is None


@pytest.mark.parametrize(
    ("per_second", "span"), [(100, 600), (3, 1200), (0.2, 19_200), (0.01, 86_400), (0, 86_400)]
)
def test_the_present_is_as_short_as_its_rows_allow(per_second, span):
    assert fitting_span(per_second * 4800, 4800) == span
    assert span in SPANS


def test_in_thirty_days_with_a_time_of_day_there_is_no_false_alarm():
    """30 features, a look every hour; every five minutes it is `python -m tests.drift`."""
    world = World(7, 20_000)
    rows, totals = world.counts(30 + FIRST_LOOK // STEPS)
    assert len(alarms(looks(world, rows, totals, every=12))) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_shift_of_half_a_standard_deviation_is_found_within_5000_rows(seed):
    random = np.random.default_rng(seed)
    shift = Shift(int(random.integers(20)), 0.5, FIRST_LOOK + int(random.integers(STEPS)))
    found = rows_to_alarm(World(seed, 20_000), shift, FIRST_LOOK // STEPS + 2)
    assert found is not None
    assert found <= 5000


def test_a_reference_alone_would_cry_wolf_every_day():
    """The last rows against training, which is what a server shows, take night for drift."""
    world = World(7, 20_000)
    rows, totals = world.counts(12)
    said = [
        decide(world.reference, {"a": Sight(day=look)}, 600).detected
        for step in range(FIRST_LOOK, len(rows), 12)
        if (look := _last(rows, totals, step, 4000)) is not None
    ]
    assert sum(map(bool, said)) > len(said) / 2


def _last(rows, totals, step: int, wanted: int) -> Window | None:
    start = int(np.searchsorted(rows, rows[step] - wanted))
    counts = dict(zip(FEATURES, (totals[step] - totals[start]).tolist(), strict=True))
    named = {name: {str(bin_): n for bin_, n in enumerate(line)} for name, line in counts.items()}
    return Window(named, float(rows[step] - rows[start]))
