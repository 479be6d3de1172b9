"""Sample ratio and coverage: the published e-value, its alarms and its silence."""

import math

import numpy as np
import pytest
from scipy.special import betaln

from assay.evidence.counts import ArmCounts, Evidence, Stratum
from assay.evidence.groups import GroupCounts
from assay.judge import samples
from assay.judge.verdict import MetricSpec, Policy


def test_the_e_value_is_the_published_one():
    """Lindon and Malek: Dirichlet(100 p) mixture over the multinomial, for two arms a beta."""
    shares, counts = (0.8, 0.2), (8030, 1970)
    mixed = betaln(80 + counts[0], 20 + counts[1]) - betaln(80, 20)
    null = counts[0] * math.log(0.8) + counts[1] * math.log(0.2)
    assert samples.log_e_mismatch(counts, shares) == pytest.approx(mixed - null, abs=1e-9)


def test_pairs_in_floats_say_what_arrays_say():
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 10 ** rng.integers(1, 7, (60, 1)), (60, 2)).astype(float)
    shares = rng.uniform(0.01, 0.99, 60)
    each = samples.log_e_mismatch(rows.T, (1.0 - shares, shares))
    pairs = [
        (*row, samples.Lot.of(share))
        for row, share in zip(rows.tolist(), shares.tolist(), strict=True)
    ]
    for pair, expected in zip(pairs, each, strict=True):
        assert samples.log_e_of_pairs([pair]) == pytest.approx(expected, rel=1e-12, abs=1e-7)
    assert samples.log_e_of_pairs(pairs) == pytest.approx(each.sum(), rel=1e-12)
    assert samples.log_e_of_pairs([]) == 0.0


@pytest.mark.parametrize(
    ("asked", "got", "within"),
    [(0.05, 0.04, 20_000), (0.2, 0.18, 20_000), (0.5, 0.48, 30_000), (0.5, 0.45, 6_000)],
)
def test_a_wrong_share_is_found(asked, got, within):
    rng = np.random.default_rng(7)
    found = [
        samples.log_e_mismatch((within - canary, canary), (1 - asked, asked)) >= math.log(1000)
        for canary in rng.binomial(within, got, 200)
    ]
    assert np.mean(found) > 0.8


def test_the_right_share_gives_no_alarm_at_any_look():
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        canary = np.cumsum(rng.binomial(500, 0.05, 100))
        looks = 500 * np.arange(1, 101)
        alarms += any(
            samples.log_e_mismatch((int(n - c), int(c)), (0.95, 0.05)) >= math.log(1000)
            for n, c in zip(looks, canary, strict=True)
        )
    assert alarms <= 2


def a_trial_of_users(
    stable: tuple[int, int], canary: tuple[int, int], *, named: bool = True, steps: int = 1
) -> Evidence:
    """Users and labelled rows of each arm; where `named` every row knows its bucket."""

    def arm(users: int, rows: int) -> ArmCounts:
        table = np.diag([rows - rows // 2, rows // 2])
        groups = np.zeros((128, 2, 2), dtype=np.int64)
        groups[:2] = [np.diag([rows - rows // 2, 0]), np.diag([0, rows // 2])]
        return ArmCounts(
            ("0", "1"),
            table,
            served=rows,
            labelled=rows,
            requests=rows,
            users=users,
            buckets=GroupCounts(groups) if named else None,
        )

    each = [
        Stratum(f"east/{step}", arm(*stable), arm(*canary), weight=0.5) for step in range(steps)
    ]
    return Evidence(tuple(each))


BY_USER = Policy(by_user=True)
F1 = (MetricSpec("f1", "F1", 0.02),)


def reasons_of(evidence: Evidence, policy: Policy = BY_USER) -> list[tuple[str, bool]]:
    return [(item.reason, item.blocks_rollback) for item in samples.findings(evidence, policy, F1)]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (a_trial_of_users((100, 900), (100, 900)), []),
        (a_trial_of_users((100, 900), (100, 900), named=False), [("UsersUnknown", True)]),
        (a_trial_of_users((0, 900), (100, 900)), [("UsersUnknown", False)]),
        (a_trial_of_users((0, 0), (0, 0)), []),
    ],
    ids=["all is known", "rows of nobody", "users were never told of", "nothing yet"],
)
def test_a_trial_of_users_holds_where_rows_do_not_say_whose_they_are(
    evidence: Evidence, expected: list[tuple[str, bool]]
) -> None:
    found = [item for item in reasons_of(evidence) if item[0] == "UsersUnknown"]
    assert found == expected
    assert reasons_of(evidence, Policy())[:1] != [("UsersUnknown", True)]


def test_many_requests_of_a_user_are_one_lot() -> None:
    """Thirty users here and thirty there, of whom some ask a hundred times as often."""
    evidence = a_trial_of_users((30, 9000), (30, 100))
    assert ("SampleRatioMismatch", False) not in reasons_of(evidence)
    assert ("SampleRatioMismatch", False) in reasons_of(a_trial_of_users((900, 9000), (100, 9000)))


def test_the_same_lots_at_several_steps_are_no_new_proof() -> None:
    """A user keeps its lot when the weight rises, so a chance of the first step comes again."""
    rng = np.random.default_rng(11)
    alarms = {1: 0, 3: 0}
    for _ in range(400):
        lots = rng.uniform(size=200)
        for copies in alarms:
            users = [(int((lots >= 0.5).sum()), int((lots < 0.5).sum()))] * copies
            pairs = [(*each, samples.Lot.of(0.5)) for each in users]
            names = [f"east/{step}" for step in range(copies)]
            log_e = samples.log_e_of_users(names, pairs)
            assert log_e == pytest.approx(samples.log_e_of_pairs(pairs[:1]))
            alarms[copies] += log_e >= math.log(1000)
    assert alarms[1] == alarms[3] <= 2


def test_members_have_users_of_their_own() -> None:
    pair = (60.0, 20.0, samples.Lot.of(0.5))
    both = samples.log_e_of_users(["east/0", "west/0"], [pair, pair])
    assert both == pytest.approx(samples.log_e_of_pairs([pair, pair]))
