"""The simulation: the judge's and the state machine's own answers, whatever is left out on the way."""

import dataclasses

import numpy as np
import pytest

from assay.api.deployment_status import Stage
from assay.api.model_deployment import ModelDeploymentSpec, StickyBy
from assay.judge import Verdict, judge
from assay.judge.decision import VERDICTS
from assay.rollout.simulation import (
    INCONCLUSIVE,
    OPEN,
    PROMOTED,
    ROLLED_BACK,
    Effect,
    Member,
    Outcomes,
    Simulation,
    Traffic,
    Trial,
    canary,
    fit,
    judging,
    run,
    screen,
    yardsticks_of,
)
from assay.rollout.simulation.world import World

F1 = {"name": "f1", "type": "F1", "margin": "0.05"}
AUC = {"name": "auc", "type": "ROCAUC", "margin": "0.02"}
LOSS = {"name": "loss", "type": "LogLoss", "margin": "0.05"}
MACRO = {"name": "macro", "type": "F1", "average": "Macro", "margin": "0.05"}
BASELINES = {"f1": 0.8, "auc": 0.95, "loss": 0.25, "macro": 0.85, "bad": 0.9}
ONE = (Member("a", 1.0),)
THREE = (Member("a", 0.5), Member("b", 0.3), Member("c", 0.2))


def a_trial(*metrics, members=ONE, most_looks=2000, traffic=None, **rollout):
    spec = ModelDeploymentSpec.model_validate(
        {
            "model": {
                "uri": "https://models.example.com/fraud-8.skops",
                "version": "8",
                "digest": "sha256:" + "8" * 64,
            },
            "traffic": {"parentRefs": [{"name": "models"}]},
            "rollout": {
                "canary": {"steps": [{"weight": 10, "minSeconds": 30}, {"weight": 50}]},
                "maxSeconds": 1200,
                **rollout,
                "analysis": {
                    "intervalSeconds": 10,
                    "minLabelCoverage": "0.2",
                    "metrics": list(metrics or (F1,)),
                    **rollout.get("analysis", {}),
                },
            },
        }
    )
    yardsticks = yardsticks_of(spec)
    wanted = {each.spec.name: BASELINES[each.spec.name] for each in yardsticks}
    given = {"label_rate": 20.0, **(traffic or {})}
    stable = fit(yardsticks, wanted, 0.3)
    return Trial.of(spec, yardsticks, stable, Traffic(members=members, **given), most_looks)


def a_simulation(trial, effects=(0.0,), runs=20, seed=1):
    canaries = [canary(trial.yardsticks, trial.stable, Effect(each)) for each in effects]
    return Simulation(trial, canaries, runs, np.random.default_rng(seed))


def simulated(trial, effects=(0.0,), runs=20, seed=1) -> tuple[Outcomes, ...]:
    simulation = a_simulation(trial, effects, runs, seed)
    while simulation.advance():
        pass
    return simulation.outcomes()


def same(one: Outcomes, other: Outcomes) -> bool:
    return all(
        np.array_equal(getattr(one, each.name), getattr(other, each.name), equal_nan=True)
        for each in dataclasses.fields(Outcomes)
    )


# What comes of it


def test_good_canaries_are_promoted_and_bad_ones_seen_by_few():
    good, bad = simulated(a_trial(), (0.0, -5.0), runs=60)
    assert good.share(PROMOTED) > 0.85
    assert bad.share(ROLLED_BACK) == 1.0
    assert np.median(bad.seconds) < 0.7 * np.median(good.seconds)
    assert np.median(bad.exposed) < 0.6 * np.median(good.exposed)
    assert np.quantile(bad.exposed, 0.9) < 2000


def test_without_a_verdict_the_time_is_over():
    (found,) = simulated(a_trial(F1, maxSeconds=95, traffic={"label_rate": 0.5}), runs=5)
    assert (found.end == INCONCLUSIVE).all()
    assert (found.seconds == 95.0).all()
    assert np.isnan(found.steps[:, 1]).all()
    assert (found.steps[:, 0] == 95.0).all()


@pytest.mark.parametrize("metric", [LOSS, MACRO], ids=["log loss", "macro F1"])
def test_other_metrics_find_bad_canaries_too(metric):
    good, bad = simulated(a_trial(metric), (0.0, -5.0), runs=30)
    assert good.share(PROMOTED) > 0.8
    assert bad.share(ROLLED_BACK) == 1.0


def test_too_few_labels_hold_whatever_they_say():
    trial = a_trial(maxSeconds=300, traffic={"label_coverage": 0.1, "label_rate": 20.0})
    (found,) = simulated(trial, (-5.0,), runs=5)
    assert (found.end == INCONCLUSIVE).all()


def test_steps_last_as_long_as_they_must():
    (found,) = simulated(a_trial(F1, AUC), runs=20)
    assert (found.steps[:, 0] >= 30.0).all()
    reached = np.isfinite(found.steps[:, 1])
    assert found.steps[reached].sum(axis=1) == pytest.approx(found.seconds[reached])


def test_late_labels_make_late_ends():
    soon, late = (
        simulated(a_trial(traffic={"label_delay": delay}), (-5.0,), runs=20)[0]
        for delay in (0.0, 95.0)
    )
    assert (late.end == ROLLED_BACK).all()
    # Later than the labels: the small first step lasts longer too.
    assert 90.0 <= np.median(late.seconds) - np.median(soon.seconds) <= 160.0
    assert np.median(late.exposed) > np.median(soon.exposed)


def test_long_trials_are_looked_at_more_rarely():
    trial = a_trial(maxSeconds=1150, most_looks=50)
    assert trial.spacing == 40
    assert trial.looks[:2] == (40, 80)
    assert trial.looks[-2:] == (1120, 1150)
    (found,) = simulated(trial, (-5.0,), runs=5)
    assert (found.seconds % 40 == 0).all()


# The same every time


def test_the_same_seed_gives_the_same_rollouts():
    trial = a_trial(F1, AUC, members=THREE)
    one, two, other = (simulated(trial, (0.0, -2.0), 8, seed) for seed in (1, 1, 2))
    assert all(same(*pair) for pair in zip(one, two, strict=True))
    assert not all(same(*pair) for pair in zip(one, other, strict=True))


# Nothing that matters is left out


@pytest.mark.parametrize("members", [ONE, THREE], ids=["one", "three"])
@pytest.mark.parametrize("strict", [False, True], ids=["plain", "every test"])
@pytest.mark.parametrize(
    "metrics", [(F1, {**AUC, "floor": "0.9"}), (MACRO, LOSS)], ids=["binary", "others"]
)
def test_trials_are_judged_as_their_evidence_is(monkeypatch, members, strict, metrics):
    monkeypatch.setattr(Simulation, "_compact", lambda self: None)  # decided ones are judged, too
    trial = a_trial(*metrics, members=members)
    policy = dataclasses.replace(trial.policy, by_member=strict, since_moments=strict)
    trial = dataclasses.replace(trial, policy=policy)
    simulation = a_simulation(trial, (0.0, -2.0), runs=3)
    seen = set()
    for look in range(60):
        if not simulation.advance():
            break
        if look % 6 != 5:
            continue
        for row in range(len(simulation._ids)):
            step = int(simulation._step[row])
            evidence = simulation._counts.evidence(row, step)
            wanted = judge(trial.metrics, trial.policy, evidence)
            known = simulation._counts._history.known
            everything = [np.ones((1, known), bool)] * 2 if strict else None
            own = np.array([row])
            found = judging.judged(trial, simulation._counts, own, step, everything)
            got = judging.judgement(trial, simulation._counts, row, step, found, 0)
            agree(got, wanted)
            assert VERDICTS[found.verdict[0]] is wanted.verdict
            seen.add(wanted.verdict)
    assert Verdict.HOLD in seen
    assert len(seen) > 1


def agree(got, wanted):
    assert got.verdict is wanted.verdict
    assert got.past_burn_in == wanted.past_burn_in
    if wanted.verdict is not Verdict.HOLD:
        assert got.reason == wanted.reason
    for one, other in zip(got.metrics, wanted.metrics, strict=True):
        assert one.verdict is other.verdict
        assert (one.labels_stable, one.labels_canary) == (other.labels_stable, other.labels_canary)
        if other.difference is not None:
            assert one.difference == pytest.approx(other.difference, abs=1e-12)
            assert one.log_e_promote == pytest.approx(other.log_e_promote, abs=1e-9)
            assert one.log_e_rollback == pytest.approx(other.log_e_rollback, abs=1e-9)


@pytest.mark.parametrize("members", [ONE, THREE], ids=["one", "three"])
def test_the_screen_leaves_out_nothing_that_decides(monkeypatch, members):
    trial = a_trial(F1, AUC, members=members, maxSeconds=600)
    policy = dataclasses.replace(trial.policy, by_member=True, since_moments=True)
    trial = dataclasses.replace(trial, policy=policy)
    fast = simulated(trial, (0.0, -1.0, -5.0), runs=8)

    def everything(trial, counts, rows, step):
        yes = np.ones(len(rows), bool)
        moments = np.ones((len(rows), counts._history.known), bool)
        return screen.Hint(yes, yes, yes, yes, (moments,) * len(trial.yardsticks))

    monkeypatch.setattr(run, "screen", everything)
    slow = simulated(trial, (0.0, -1.0, -5.0), runs=8)
    assert all(same(*pair) for pair in zip(fast, slow, strict=True))


def test_the_state_machine_is_asked_whenever_it_would_do_something(monkeypatch):
    trial = a_trial(F1, maxSeconds=600)
    fast = simulated(trial, (0.0, -2.0), runs=5)
    monkeypatch.setattr(Simulation, "_changes", lambda self, rows, *_: np.ones(len(rows), bool))
    slow = simulated(trial, (0.0, -2.0), runs=5)
    assert all(same(*pair) for pair in zip(fast, slow, strict=True))


def test_what_was_stopped_is_open():
    simulation = a_simulation(a_trial(F1), runs=5)
    simulation.advance()
    (found,) = simulation.outcomes()
    assert (found.end == OPEN).all()
    assert (found.seconds == 10.0).all()
    assert found.labels.sum() > 0


def test_three_classes_are_refused_by_name():
    three = [{**F1, "class": each} for each in "abc"]
    with pytest.raises(ValueError, match="the classes b, c beside 'a' are not simulated; one is"):
        a_trial(*three)


def test_both_classes_may_be_named():
    labels = a_trial({**F1, "class": "good"}, {**F1, "name": "bad", "class": "bad"}).labels
    assert labels == ("bad", "good")


def test_a_trial_of_users_begins_like_any_other() -> None:
    sticky = StickyBy(header="x-user-id")
    spec = a_trial().spec
    traffic = spec.traffic.model_copy(update={"sticky_by": sticky})
    rollout = World(spec.model_copy(update={"traffic": traffic}), ("a", "b")).begin().rollout
    assert rollout is not None
    assert (rollout.stage, rollout.sticky_by) == (Stage.TRIAL, sticky)
