"""The small part of the exploration, and proof that it finds what is broken."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.render.member import staying_revisions
from assay.rollout import Order, RouteView, changes, clusters, decision, traffic, triggers, waves
from assay.rollout.situation import Situation, is_ready
from assay.rollout.transitions import Trigger
from tests.unit.gitops.agreement import disagreements

from . import look
from .__main__ import DOCUMENT
from .explorer import Explorer
from .scope import QUICK, SCOPES, WAVES, Budget, Scope

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("scope", QUICK, ids=lambda scope: scope.name)
def test_every_property_holds(scope: Scope, capsys: pytest.CaptureFixture[str]) -> None:
    explorer = Explorer(scope)
    violation = explorer.run()
    counts = explorer.counts
    with capsys.disabled():
        print(
            f"\n{scope.name}: {counts.states} states, {counts.edges} edges, {counts.seconds:.0f} s"
        )

    assert violation is None, str(violation)
    assert counts.complete
    assert counts.states > 100
    assert {"way_out_with_luck", "way_out_without_luck", "rollback_absorbs"} <= counts.checks.keys()
    assert verdicts_that_disagree(explorer) == []


def verdicts_that_disagree(explorer: Explorer) -> list[str]:
    """What GitOps tools say of every status that was decided, one of each kind (docs/gitops.md)."""
    kinds = {}
    for plan in explorer.operator.plans.values():
        status = plan.status
        stage = status.rollout.stage if status.rollout else None
        said = tuple((item.type, item.status, item.reason) for item in status.conditions)
        if not plan.adopts:
            kinds[stage, said] = status
    return [
        f"{stage}, {said}: {rules}"
        for (stage, said), status in kinds.items()
        if (rules := disagreements(shown(status)))
    ]


def shown(status: ModelDeploymentStatus) -> dict[str, Any]:
    return {
        "kind": "ModelDeployment",
        "metadata": {"generation": status.observed_generation},
        "status": status.to_dict(),
    }


def test_the_document_tells_of_scopes_that_are_there() -> None:
    rows = re.findall(r"^\| ([a-z, ]+) \| \d", DOCUMENT.read_text(), re.MULTILINE)
    assert rows
    assert set(rows) <= {scope.name for scope in SCOPES}


# Each breaks one rule of the operator


def no_evidence_needed(patch: Patch) -> None:
    def won(situation: Situation, status: ModelDeploymentStatus) -> bool:
        rollout = status.rollout
        last = rollout is not None and triggers._is_last(rollout)
        return last and situation.judgement(status) is not None and situation.step_shown(status)

    patch.setattr(triggers, "_won", won)


def act_before_the_record(patch: Patch) -> None:
    patch.setattr(decision, "_order", lambda _old, _new: Order.ACT_THEN_RECORD)


def deaf_to_records(patch: Patch) -> None:
    patch.setitem(triggers._QUESTIONS, Trigger.ROLLBACK_RECORDED, lambda _s, _n: False)


def wait_for_all(patch: Patch) -> None:
    settled = triggers._QUESTIONS[Trigger.SETTLED]

    def all_there(situation: Situation, status: ModelDeploymentStatus) -> bool:
        return not situation.unreachable and settled(situation, status)

    patch.setitem(triggers._QUESTIONS, Trigger.SETTLED, all_there)


def no_last_deadline(patch: Patch) -> None:
    patch.setitem(triggers._QUESTIONS, Trigger.INCONCLUSIVE, lambda _s, _n: False)


def sleep_for_ever(patch: Patch) -> None:
    patch.setattr(decision, "_holds_for", lambda _s, _n, _t: None)
    patch.setattr(decision, "_pace", lambda _n: None)


def several_steps_at_once(patch: Patch) -> None:
    patch.setattr(triggers, "_step_over", lambda _s, _n: True)


def keep_the_canary(patch: Patch) -> None:
    take = changes.take

    def kept(
        situation: Situation, status: ModelDeploymentStatus, stage: Stage, made: Any
    ) -> tuple[ModelDeploymentStatus, Any]:
        new, event = take(situation, status, stage, made)
        return new.model_copy(update={"canary": new.stable}), event

    patch.setattr(changes, "take", kept)


def all_the_traffic(patch: Patch) -> None:
    wanted = traffic.wanted_route

    def more(status: ModelDeploymentStatus, member: str) -> RouteView | None:
        view = wanted(status, member)
        if view is None or view.stable == view.canary_slot:
            return view
        return RouteView(view.stable, view.canary_slot, 100, view.stratum)

    patch.setattr(look, "wanted_route", more)


def everywhere_at_once(patch: Patch) -> None:
    def came(self: Situation, status: ModelDeploymentStatus) -> dict[str, int]:
        rollout = status.rollout
        if rollout is None or status.canary is None:
            return {}
        return {it.name: waves.wave_of(rollout.settings, it.labels) for it in self.reachable}

    patch.setattr(Situation, "came", came)


def too_few_pods(patch: Patch) -> None:
    patch.setattr(clusters, "has_pods", lambda member, _, revision: is_ready(member, revision))


def promoted_before_it_is_whole(patch: Patch) -> None:
    patch.setattr(clusters, "_takes_all", lambda _s, stable, member, _b: is_ready(member, stable))


def retired_everywhere(patch: Patch) -> None:
    patch.setattr(look, "running_revisions", staying_revisions)


def forget_the_answer(patch: Patch) -> None:
    patch.setattr("assay.rollout.effects.requests.done", lambda _s, status, _m: status)
    patch.setattr("assay.rollout.decision.refused", lambda _s, status: (status, ()))


ROLL_BACK = Budget(changes=1, faults=1)
BROKEN: list[tuple[Callable[[Patch], None], Scope, str]] = [
    (no_evidence_needed, Scope("", Budget(changes=1)), "without the verdict Promote"),
    (act_before_the_record, Scope("", ROLL_BACK), "before it is on record"),
    (deaf_to_records, Scope("", ROLL_BACK), "promoted of which a rollback was recorded"),
    (wait_for_all, Scope("", Budget(changes=1, losses=1)), "without_luck: stuck"),
    (no_last_deadline, Scope("", Budget(changes=1)), "with_luck: stuck in Trial"),
    (sleep_for_ever, Scope("", Budget(changes=1)), "nothing wakes the operator"),
    (several_steps_at_once, Scope("", Budget(changes=1)), "two steps at once"),
    (keep_the_canary, Scope("", Budget(changes=1)), "stable is the canary too"),
    (all_the_traffic, Scope("", Budget(changes=1)), "weights [0, 100]"),
    (everywhere_at_once, Scope("", Budget(changes=1), waves=WAVES), "a wave is ahead in status"),
    (too_few_pods, Scope("", Budget(changes=1), replicas=3), "50 % to 1 of 2"),
    (promoted_before_it_is_whole, Scope("", Budget(changes=1), replicas=3), "100 % to 2 of 3"),
    (retired_everywhere, Scope("", ROLL_BACK, waves=WAVES), "has the canary before its wave"),
    (
        forget_the_answer,
        Scope("", Budget(changes=1, requests=1), verbs=("abort",)),
        "a request is not answered",
    ),
]


@pytest.mark.parametrize(
    ("breaks", "scope", "message"), BROKEN, ids=lambda it: getattr(it, "__name__", "")
)
def test_what_is_broken_is_found(
    breaks: Callable[[Patch], None], scope: Scope, message: str, monkeypatch: Patch
) -> None:
    breaks(monkeypatch)
    found = Explorer(scope, limit=6000).run()

    assert found is not None
    assert message in found.message
    assert found.path, "the way there is told"
    assert json.loads(found.state.hub) is not None
