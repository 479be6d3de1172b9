"""The entry Service, and what servers are told where no gateway is."""

import base64
import json
import pathlib
from typing import Any

import pytest
import yaml

from assay.api.deployment_status import ModelDeploymentStatus
from assay.render.entry import is_narrow, read_entry
from assay.render.member import MemberPlan, mark, traffic_plan
from assay.rollout.traffic import wanted_route

from .builders import EIGHT, SEVEN, a_plan, a_spec, a_status, a_target, ref, rollout

GOLDEN = pathlib.Path(__file__).parent / "golden"
SPEC = a_spec(traffic={"mode": "Replicas"})
STRATA = [
    {"stratum": "idle/0", "since": "2026-11-23T12:00:00Z"},
    {"stratum": "0123456789/1", "since": "2026-11-23T12:02:00Z"},
]


def on_trial(**cluster: Any) -> ModelDeploymentStatus:
    east = {
        "name": "east",
        "reachable": True,
        "revision": SEVEN,
        "weight": 20,
        "wave": 0,
        **cluster,
    }
    trial = {**rollout("Trial", 1), "traffic": {"mode": "Replicas"}}
    return a_status(canary=ref(EIGHT), rollout=trial, clusters=[east])


def strata(plan: MemberPlan) -> Any:
    """What is in strata.json."""
    secrets = (it for it in plan.ledger if it["metadata"]["name"] == "fraud-receipts")
    files = next(secrets)["data"]
    return json.loads(base64.b64decode(files["strata.json"])) if "strata.json" in files else None


def test_the_entry_of_a_trial_is_the_golden_one() -> None:
    entry = a_plan(on_trial(strata=STRATA), spec=SPEC).entry
    path = GOLDEN / "entry.yaml"
    wanted = yaml.safe_load(path.read_text())
    assert entry == wanted


def test_at_rest_it_has_the_pods_of_stable_alone() -> None:
    plan = a_plan(a_status(), spec=SPEC)
    assert plan.route is None
    assert plan.entry is not None
    assert plan.entry["spec"]["selector"] == {
        "assay.dev/deployment": "fraud",
        "assay.dev/revision": SEVEN,
        "app.kubernetes.io/component": "server",
    }
    assert is_narrow(plan.entry)
    assert strata(plan) == [{"stratum": "idle/0", "from": 0}]


def test_with_a_gateway_there_is_no_entry_and_nothing_to_tell() -> None:
    plan = a_plan(a_status())
    assert plan.entry is None
    assert plan.route is not None
    assert strata(plan) is None


def test_every_pod_of_both_versions_is_behind_it_in_a_trial() -> None:
    plan = a_plan(on_trial(strata=STRATA), spec=SPEC)
    assert plan.entry is not None
    assert not is_narrow(plan.entry)
    wanted = plan.entry["spec"]["selector"].items()
    for item in plan.revisions:
        assert item.deployment is not None
        assert wanted <= item.deployment["spec"]["template"]["metadata"]["labels"].items()
    for item in plan.ledger:
        if item["kind"] == "StatefulSet":
            assert not wanted <= item["spec"]["template"]["metadata"]["labels"].items()
    assert strata(plan) == [
        {"stratum": "idle/0", "from": 1795435200},
        {"stratum": "0123456789/1", "from": 1795435320},
    ]


@pytest.mark.parametrize("status", [on_trial(strata=STRATA), on_trial(), a_status()])
def test_it_is_read_as_it_was_written(status: ModelDeploymentStatus) -> None:
    plan = a_plan(status, spec=SPEC)
    assert plan.entry is not None
    # Of Services only metadata are watched.
    assert read_entry({"metadata": plan.entry["metadata"]}) == wanted_route(status, "east")


@pytest.mark.parametrize("text", [None, "", "[]", '{"stable": 7}', '{"strata": 7}'])
def test_what_is_not_ours_says_nothing(text: str | None) -> None:
    annotations = {} if text is None else {"assay.dev/traffic": text}
    assert read_entry({"metadata": {"annotations": annotations}}) is None


def test_canary_pods_change_with_the_weight_of_the_member() -> None:
    def numbers(weight: int) -> dict[str, int]:
        status = on_trial(weight=weight)
        found = {}
        for item in a_plan(status, spec=SPEC).revisions:
            assert item.deployment is not None
            found[item.revision] = item.deployment["spec"]["replicas"]
        return found

    assert numbers(5) == {SEVEN: 2, EIGHT: 1}
    assert numbers(50) == {SEVEN: 2, EIGHT: 2}


def test_a_rollout_that_began_with_a_gateway_keeps_it_to_its_end() -> None:
    traffic = {"mode": "Gateway", "parentRefs": [{"name": "models"}]}
    east = {"name": "east", "reachable": True, "revision": SEVEN, "weight": 20, "wave": 0}
    trial = {**rollout("Trial", 1), "traffic": traffic}
    plan = a_plan(a_status(canary=ref(EIGHT), rollout=trial, clusters=[east]), spec=SPEC)
    assert plan.entry is None
    assert plan.route is not None
    assert plan.route["spec"]["parentRefs"] == [{"name": "models"}]


def test_traffic_alone_tells_servers_if_keys_are_known() -> None:
    target = a_target(on_trial(strata=STRATA), spec=SPEC)
    [secret] = traffic_plan(target, "east").ledger
    assert secret["metadata"]["name"] == "fraud-receipts"
    assert traffic_plan(a_target(on_trial(), spec=SPEC, keys=""), "east").ledger == ()
    assert traffic_plan(a_target(a_status()), "east").ledger == ()


def test_a_share_that_changes_changes_no_plan_and_what_is_announced_does() -> None:
    before = mark(a_target(on_trial(share=20), spec=SPEC))
    assert mark(a_target(on_trial(share=33), spec=SPEC)) == before
    assert mark(a_target(on_trial(share=20, strata=STRATA), spec=SPEC)) != before
