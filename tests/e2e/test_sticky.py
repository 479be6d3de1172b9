"""A trial of users on the real gateway: nobody is in both arms, and all go back together."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from assay.api.deployment_status import Verdict
from demo.log import Log, Prediction
from demo.models import Version, artifact
from demo.stage import Observed
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

USERS = 400
BY_COOKIE: dict[str, object] = {"traffic.stickyBy": {"cookie": "session"}}
CLIMBING: dict[str, object] = {
    "traffic.stickyBy": {"header": "x-user-id"},
    "rollout.canary.steps": [
        {"weight": 5},
        {"weight": 20, "minSeconds": 4},
        {"weight": 50, "minSeconds": 30},
    ],
}
FIRST, WORSE, GOOD = (artifact(version) for version in Version)


def at_step(rows: Iterable[Prediction], step: int, rollout: str) -> dict[str, set[int | None]]:
    """The users whom each version answered at a step."""
    found: dict[str, set[int | None]] = {FIRST.version: set(), GOOD.version: set()}
    for row in rows:
        if (row.rollout, row.step) == (rollout, step):
            found[row.version].add(row.user)
    return found


def test_users_stay_as_the_weight_rises_and_go_back_together(trial: Trial) -> None:
    trial.start(FIRST, CLIMBING)
    with trial.stream(100.0, users=USERS) as stream:
        trial.apply(GOOD, CLIMBING)
        climbed = trial.until(
            "the last step",
            lambda it: it.status.rollout is not None and it.status.rollout.step == 2,
        )
        assert climbed.status.rollout is not None
        rollout = climbed.status.rollout.id
        kept = climbed.condition("UsersKept")
        wait_until(
            "every user has met the last step",
            lambda: (
                len(
                    {
                        row.user
                        for row in stream.log.rows()
                        if (row.rollout, row.step) == (rollout, 2)
                    }
                )
                > 0.95 * USERS
            ),
        )
        on_trial = stream.log.rows()
        trial.apply(FIRST, CLIMBING)
        back = trial.until("back to stable", lambda found: found.is_ready)
        wait_until(
            "only stable answers",
            lambda: {row.version for row in stream.log.recent(2.0)} == {FIRST.version},
        )
        rows = stream.log.rows()

    # Envoy takes new endpoints before new routes: while the canary goes, some answers of stable to
    # its users still bear the last step.
    steps = [at_step(on_trial, step, rollout) for step in range(3)]
    for arms in steps:
        assert not arms[FIRST.version] & arms[GOOD.version], "users in both arms of one step"
    for lower, higher in pairwise(steps):
        assert not lower[GOOD.version] & higher[FIRST.version], "users who moved back to stable"
    shares = [len(arms[GOOD.version]) / sum(map(len, arms.values())) for arms in steps]
    for share, weight in zip(shares, (0.05, 0.20, 0.50), strict=True):
        assert share == pytest.approx(weight, abs=0.08), shares
    assert {row.version for row in rows if row.rollout != rollout} == {FIRST.version}
    assert stream.log.failures == []
    assert (kept[0], kept[1]) == ("True", "UsersKept")
    assert back.status.history[0].reason == "Reverted"


def answered_before_the_end(trial: Trial, log: Log) -> list[Prediction]:
    """Wait for the verdict and return what was surely answered before it."""
    surely: list[Prediction] = []
    asked: list[Prediction] = []

    def is_over(found: Observed) -> bool:
        nonlocal surely, asked
        rollout = found.status.rollout
        if rollout is None or rollout.stage is not RolloutStage.TRIAL:
            return True
        # `found` was read after `asked` was, and the trial still went on.
        surely, asked = asked, log.rows()
        return False

    trial.until("the verdict", is_over)
    return surely


def counted_users(trial: Trial) -> dict[str, int]:
    """Users that the ledgers know of, by member, over all steps and revisions."""
    query = f'sum(assay_users_total{{deployment="{trial.name}"}})'
    found: dict[str, int] = {}
    for member, connection in trial.stage.prometheus().items():
        rows: Any = connection.query(query).rows
        found[member] = int(float(rows[0]["value"][1])) if rows else 0
    return found


def test_a_worse_version_is_rolled_back_by_what_its_users_met(trial: Trial) -> None:
    trial.start(FIRST, BY_COOKIE)
    with trial.stream(100.0, users=USERS) as stream:
        trial.apply(WORSE, BY_COOKIE)
        on_trial = trial.until_stage(RolloutStage.TRIAL, WORSE.version)
        with trial.stream(20.0) as nobody:
            wait_until("answers to nobody", lambda: len(nobody.log.rows()) > 20)
        rows = answered_before_the_end(trial, stream.log)
        entry = trial.verdict(WORSE)
        users = counted_users(trial)

    assert on_trial.status.rollout is not None
    assert on_trial.status.rollout.sticky_by is not None
    assert (entry.verdict, entry.reason) == (Verdict.ROLLBACK, "Worse")
    arms = {
        version: {
            (row.user, row.step)
            for row in rows
            if (row.rollout, row.version) == (entry.id, version)
        }
        for version in (FIRST.version, WORSE.version)
    }
    assert arms[WORSE.version]
    assert not arms[FIRST.version] & arms[WORSE.version]
    assert {row.rollout for row in nobody.log.rows()} <= {"none", "idle"}
    assert nobody.log.failures == []
    assert all(count > USERS / 4 for count in users.values()), users
    assert trial.objects("east", "backendtrafficpolicies.gateway.envoyproxy.io")
    trial.apply(FIRST)
    wait_until(
        "no policy is left",
        lambda: not trial.objects("east", "backendtrafficpolicies.gateway.envoyproxy.io"),
    )
