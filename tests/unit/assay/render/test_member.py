"""What should exist in a member."""

import json
import pathlib
from dataclasses import replace
from typing import Any

import pytest
import yaml

from assay.api.deployment_status import ModelDeploymentStatus
from assay.render.member import (
    MemberPlan,
    MemberTarget,
    kept_revisions,
    mark,
    plan,
    running_revisions,
    traffic_plan,
)
from assay.render.record import read_record
from assay.render.revision import pod_template, revision_hash
from assay.render.route import read_route
from assay.render.serving import stored_template
from assay.rollout import RouteView

from .builders import (
    EIGHT,
    IMAGE,
    NINE,
    ORIGIN,
    SEVEN,
    a_plan,
    a_spec,
    a_status,
    a_target,
    on_trial,
    ref,
    rollout,
)

GOLDEN = pathlib.Path(__file__).parent / "golden"
UID = "0b5e55ed-0000-4000-8000-000000000003"


def objects(plan: MemberPlan) -> list[dict[str, Any]]:
    """Every object of a plan in the order of its application."""
    found = [plan.record, *plan.ledger]
    for item in plan.revisions:
        found += [item.anchor, *item.owned(UID)]
    return found + ([plan.route] if plan.route else [])


def pods(plan: MemberPlan) -> list[dict[str, Any]]:
    workloads = [item for item in objects(plan) if item["kind"] in {"Deployment", "StatefulSet"}]
    return [item["spec"]["template"]["spec"] for item in workloads]


def the(plan: MemberPlan, kind: str, name: str) -> dict[str, Any]:
    [found] = [
        item for item in objects(plan) if item["kind"] == kind and item["metadata"]["name"] == name
    ]
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": "another"},
        {"spec": a_spec(feedback__exposure="Gateway")},
        {"spec": a_spec(serving__autoscaling={"maxReplicas": 8})},
        {"status": on_trial(weight=21)},
        {"templates": {}},
        {"keys": '{"active":"k2","keys":{"k2":"c2VjcmV0"},"salt":"c2FsdA=="}'},
        {"feedback_urls": {"east": "http://feedback.example.com"}},
        {"image": "example.com/assay-server:2"},
    ],
)
def test_what_changes_a_plan_changes_its_mark(changes: dict[str, Any]) -> None:
    target = a_target(status=on_trial())
    changed = replace(target, **changes)
    assert plan(changed, MemberTarget("east", 2)) != plan(target, MemberTarget("east", 2))
    assert mark(changed) != mark(target)


def test_evidence_conditions_and_pods_change_neither_plan_nor_mark() -> None:
    status = on_trial()
    seen = {
        **status.to_dict(),
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "",
                "lastTransitionTime": "2026-11-23T12:00:00Z",
            }
        ],
        "analysis": [{"metric": "f1", "verdict": "Hold", "reason": "TooFewLabels"}],
        "clusters": [
            {**cluster, "ready": 7, "desired": 9, "message": "pods start", "applied": "a.b"}
            for cluster in status.to_dict()["clusters"]
        ],
    }
    told = ModelDeploymentStatus.model_validate(seen)
    assert told != status
    one, other = a_target(status=status), a_target(status=told)
    assert mark(one) == mark(other)
    assert plan(one, MemberTarget("east", 2)) == plan(other, MemberTarget("east", 2))


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (on_trial(1, 20), {SEVEN: 10, EIGHT: 2}),
        (on_trial(2, 20), {SEVEN: 10, EIGHT: 5}),
        (a_status(canary=ref(EIGHT), rollout=rollout("RollingBack", 1)), {SEVEN: 10}),
        (
            a_status(
                stable=ref(EIGHT),
                rollout=rollout("Promoting", 2),
                clusters=[{"name": "east", "reachable": True, "revision": SEVEN, "weight": 50}],
            ),
            {SEVEN: 10, EIGHT: 10},
        ),
    ],
    ids=["as the step says", "before the weight is raised", "rolled back", "promoted"],
)
def test_a_member_runs_as_many_pods_of_each_revision_as_it_needs(
    status: ModelDeploymentStatus, counts: dict[str, int]
) -> None:
    found = plan(a_target(status), MemberTarget("east", 10))
    assert {
        item.revision: item.deployment["spec"]["replicas"]
        for item in found.revisions
        if item.deployment is not None
    } == counts


def test_a_member_that_waits_for_pods_keeps_weight_and_stratum_of_the_step_before() -> None:
    route = a_plan(on_trial(2, 20)).route
    assert route is not None
    assert read_route(route) == RouteView(SEVEN, EIGHT, 20, "0123456789/1")


def test_a_winner_keeps_its_share_as_no_evidence() -> None:
    east = {"name": "east", "reachable": True, "revision": SEVEN, "weight": 50}
    status = a_status(stable=ref(EIGHT), rollout=rollout("Promoting", 2), clusters=[east])
    route = a_plan(status).route
    assert route is not None
    assert read_route(route) == RouteView(SEVEN, EIGHT, 50, "idle/0")


def test_a_member_in_the_middle_of_a_trial_is_the_golden_one() -> None:
    """Regenerate with ``python -m tests.unit.assay.render.test_member`` and read the difference."""
    assert golden() == (GOLDEN / "trial.yaml").read_text()


def golden() -> str:
    """One trial as YAML: what an administrator would see with kubectl."""
    spec = a_spec(
        feedback__storage={"size": "2Gi", "storageClassName": "fast"},
        traffic__hostnames=["models.example.com"],
    )
    plan = a_plan(on_trial(), spec=spec, known=(SEVEN,))
    return yaml.safe_dump_all(objects(plan), sort_keys=False, width=100)


def test_every_object_says_whose_it_is() -> None:
    for item in objects(a_plan(on_trial())):
        assert item["metadata"]["namespace"] == "ml"
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "assay-model"
        assert labels["app.kubernetes.io/instance"] == "fraud"
        assert labels["app.kubernetes.io/managed-by"] == "assay"
        assert labels["app.kubernetes.io/part-of"] == "assay"
        assert labels["app.kubernetes.io/component"] in {"server", "ledger", "route"}
        assert labels["assay.dev/deployment"] == "fraud"
        assert labels["assay.dev/origin"] == ORIGIN


def test_the_objects_of_a_revision_are_owned_by_its_controller_revision() -> None:
    plan = a_plan(on_trial())

    for item in plan.revisions:
        assert [owned["kind"] for owned in item.owned(UID)] == [
            "Deployment",
            "Service",
            "PodDisruptionBudget",
        ]
        for owned in item.owned(UID):
            assert owned["metadata"]["labels"]["assay.dev/revision"] == item.revision
            assert owned["metadata"]["ownerReferences"] == [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ControllerRevision",
                    "name": f"fraud-{item.revision}",
                    "uid": UID,
                }
            ]
    assert "ownerReferences" not in plan.revisions[0].anchor["metadata"]


def test_selectors_name_keys_that_never_change() -> None:
    plan = a_plan(on_trial())

    for revision in (SEVEN, EIGHT):
        selector = {"assay.dev/deployment": "fraud", "assay.dev/revision": revision}
        deployment = the(plan, "Deployment", f"fraud-{revision}")
        assert deployment["spec"]["selector"] == {"matchLabels": selector}
        assert the(plan, "Service", f"fraud-{revision}")["spec"]["selector"] == selector
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= labels.items()
    ledger = the(plan, "StatefulSet", "fraud-ledger")
    selector = the(plan, "Service", "fraud-ledger")["spec"]["selector"]
    assert ledger["spec"]["selector"] == {"matchLabels": selector}
    assert selector.items() <= ledger["spec"]["template"]["metadata"]["labels"].items()
    assert "assay.dev/revision" not in ledger["spec"]["template"]["metadata"]["labels"]


def test_a_rebuilt_hub_restarts_no_pod_and_changes_nothing_immutable() -> None:
    text = json.dumps(
        [
            item["spec"]["template"] | {"claims": item["spec"].get("volumeClaimTemplates")}
            for item in objects(a_plan(on_trial()))
            if item["kind"] in {"Deployment", "StatefulSet"}
        ]
    )

    assert ORIGIN not in text


@pytest.mark.parametrize(
    "spec", pods(a_plan(on_trial())), ids=lambda item: item["containers"][0]["name"]
)
def test_every_pod_meets_the_restricted_profile(spec: dict[str, Any]) -> None:
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert container["resources"]["requests"]
        mounts = {item["name"] for item in container["volumeMounts"]}
        claims = {"data"} if container["name"] == "ledger" else set()
        assert mounts <= {item["name"] for item in spec["volumes"]} | claims
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= {"emptyDir", "secret"}


def test_a_server_knows_its_member_and_its_revision() -> None:
    deployment = the(a_plan(on_trial()), "Deployment", f"fraud-{EIGHT}")
    [server] = deployment["spec"]["template"]["spec"]["containers"]
    settings = {item["name"]: item["value"] for item in server["env"]}

    assert settings["ASSAY_MEMBER"] == "east"
    assert settings["ASSAY_REVISION"] == EIGHT
    assert settings["ASSAY_NAMESPACE"] == "ml"
    assert settings["ASSAY_DEPLOYMENT"] == "fraud"
    assert "ASSAY_THRESHOLD" not in settings


def test_a_server_is_told_how_to_decide() -> None:
    spec = a_spec(model__decision={"threshold": "0.37", "positiveLabel": "fraud"})
    [server] = pod_template("fraud", "ml", spec, SEVEN, IMAGE)["spec"]["containers"]

    assert {"name": "ASSAY_THRESHOLD", "value": "0.37"} in server["env"]
    assert {"name": "ASSAY_POSITIVE_LABEL", "value": "fraud"} in server["env"]


def test_what_is_stored_is_the_same_in_every_member() -> None:
    plan = a_plan(on_trial())

    template = stored_template(the(plan, "ControllerRevision", f"fraud-{SEVEN}"))

    assert template == pod_template("fraud", "ml", a_spec(model__version="7"), SEVEN, IMAGE)


def test_free_text_cannot_break_a_label_or_an_argument() -> None:
    spec = a_spec(model__version="$(ASSAY_KEYS_FILE) /ünïcode/")
    template = pod_template("fraud", "ml", spec, SEVEN, IMAGE)

    label = template["metadata"]["labels"]["app.kubernetes.io/version"]
    assert label == "ASSAY_KEYS_FILE____n_code"
    assert "$$(ASSAY_KEYS_FILE) /ünïcode/" in template["spec"]["containers"][0]["args"]


def test_replicas_follow_the_member_without_a_trial() -> None:
    deployment = the(a_plan(a_status()), "Deployment", f"fraud-{SEVEN}")

    assert deployment["spec"]["replicas"] == 2


SCALING = {"minReplicas": 2, "maxReplicas": 8, "targetCPUUtilizationPercentage": 60}


def test_pods_that_follow_the_load_have_an_autoscaler_and_a_deployment_without_a_number() -> None:
    target = a_target(on_trial(), spec=a_spec(serving__autoscaling=SCALING))
    scaled = plan(target, MemberTarget("east", 4, floors={SEVEN: 3, EIGHT: 5}))

    for revision, least, most in ((SEVEN, 3, 4), (EIGHT, 5, 5)):
        name = f"fraud-{revision}"
        assert "replicas" not in the(scaled, "Deployment", name)["spec"]
        scaler = the(scaled, "HorizontalPodAutoscaler", name)
        assert scaler["apiVersion"] == "autoscaling/v2"
        assert scaler["metadata"]["labels"]["assay.dev/revision"] == revision
        assert scaler["metadata"]["ownerReferences"][0]["uid"] == UID
        assert scaler["spec"] == {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 60},
                    },
                }
            ],
        }
    assert ("HorizontalPodAutoscaler", frozenset({SEVEN, EIGHT})) in scaled.staying
    fixed = a_plan(on_trial())
    assert all(item.autoscaler is None for item in fixed.revisions)
    assert the(fixed, "Deployment", f"fraud-{SEVEN}")["spec"]["replicas"] == 2


def test_autoscaling_is_no_part_of_a_revision() -> None:
    assert revision_hash(a_spec(serving__autoscaling=SCALING)) == revision_hash(a_spec())


def test_a_revision_without_pods_has_no_autoscaler() -> None:
    status = a_status(retiredRevisions=[{"revision": EIGHT, "until": "2026-11-23T12:00:30Z"}])
    kept = a_plan(status, spec=a_spec(serving__autoscaling=SCALING), known=(SEVEN, EIGHT))
    assert {item.revision: item.autoscaler is None for item in kept.revisions} == {
        SEVEN: False,
        EIGHT: True,
    }


@pytest.mark.parametrize(
    ("status", "view"),
    [
        pytest.param(a_status(stable=None, clusters=[]), None, id="nothing serves yet: no route"),
        pytest.param(
            a_status(), RouteView(SEVEN, SEVEN, 1, "idle/0"), id="at rest both slots are stable"
        ),
        pytest.param(
            a_status(canary=ref(EIGHT), rollout=rollout("Starting")),
            RouteView(SEVEN, SEVEN, 1, "idle/0"),
            id="a canary that starts has no traffic",
        ),
        pytest.param(
            on_trial(1, 20), RouteView(SEVEN, EIGHT, 20, "0123456789/1"), id="a trial at step 1"
        ),
        pytest.param(
            on_trial(1, 0),
            RouteView(SEVEN, SEVEN, 1, "idle/0"),
            id="a trial whose canary is not ready in this member",
        ),
        pytest.param(
            a_status(
                canary=ref(EIGHT),
                rollout=rollout("RollingBack", 1),
                clusters=[{"name": "east", "reachable": True, "revision": SEVEN, "weight": 20}],
            ),
            RouteView(SEVEN, SEVEN, 1, "idle/0"),
            id="a rollback takes the slot back",
        ),
        pytest.param(
            a_status(stable=ref(EIGHT), rollout=rollout("Promoting", 2)),
            RouteView(SEVEN, SEVEN, 1, "idle/0"),
            id="a promotion whose revision is not ready in this member",
        ),
    ],
)
def test_the_route(status: Any, view: RouteView | None) -> None:
    route = a_plan(status, known=(SEVEN, EIGHT)).route

    assert (None if route is None else read_route(route)) == view
    if route is not None:
        [rule] = route["spec"]["rules"]
        assert len(rule["backendRefs"]) == 2
        assert all(item["weight"] > 0 for item in rule["backendRefs"])
        assert sum(item["weight"] for item in rule["backendRefs"]) == 100
        assert all(len(item["filters"]) == 1 for item in rule["backendRefs"])


def test_traffic_moves_without_templates_and_keys() -> None:
    status = a_status(canary=ref(EIGHT), rollout=rollout("RollingBack", 1))
    target = a_target(status, known=())

    bare = traffic_plan(replace(target, keys=""), "east")

    whole = a_plan(status)
    assert bare == replace(whole, ledger=(), revisions=())
    assert bare.route is not None


def test_a_route_that_somebody_reshaped_is_not_taken_for_ours() -> None:
    route = a_plan(a_status()).route
    assert route is not None
    route["spec"]["rules"][0]["backendRefs"].pop()

    assert read_route(route) is None


def test_a_retired_revision_keeps_its_pods_and_a_rejected_one_its_history() -> None:
    status = a_status(
        retiredRevisions=[{"revision": EIGHT, "until": "2026-11-23T12:00:30Z"}],
        rejectedRevisions=[
            {"revision": NINE, "version": "9", "reason": "Worse", "at": "2026-11-23T12:00:00Z"}
        ],
    )
    plan = a_plan(status, known=(SEVEN, EIGHT, NINE))

    assert plan.run_revisions == {SEVEN, EIGHT}
    assert plan.keep_revisions == {SEVEN, EIGHT, NINE}
    assert {item.revision: item.running for item in plan.revisions} == {
        SEVEN: True,
        EIGHT: False,  # its pods stay where they are, and are not made where they are not
        NINE: False,
    }


def test_a_member_that_was_away_keeps_the_pods_that_its_route_points_to() -> None:
    status = a_status(stable=ref(EIGHT))

    assert running_revisions(status, "east") == {SEVEN, EIGHT}
    assert running_revisions(status, "west") == {EIGHT}
    assert kept_revisions(a_spec(), status) == {SEVEN, EIGHT}


def test_what_is_not_known_is_not_removed() -> None:
    plan = a_plan(on_trial(), known=(EIGHT,))

    assert [item.revision for item in plan.revisions] == [EIGHT]
    assert plan.run_revisions == plan.keep_revisions == {SEVEN, EIGHT}


def test_history_is_kept_up_to_its_limit() -> None:
    entries = [
        {
            "id": "0123456789",
            "version": "x",
            "revision": digit * 10,
            "verdict": "Promote",
            "reason": "NotWorse",
            "startedAt": "2026-11-23T12:00:00Z",
            "at": "2026-11-23T12:00:00Z",
        }
        for digit in "6543"
    ]
    status = a_status(history=entries)

    assert kept_revisions(a_spec(revisionHistoryLimit=2), status) == {SEVEN, "6" * 10, "5" * 10}


def test_the_record_lets_a_rebuilt_hub_go_on() -> None:
    decided = rollout("RollingBack", 1) | {
        "decision": {"verdict": "Rollback", "reason": "Worse", "at": "2026-11-23T12:05:00Z"}
    }
    record = a_plan(a_status(canary=ref(EIGHT), rollout=decided)).record

    content = json.loads(record["data"]["record.json"])
    assert content["origin"] == ORIGIN
    assert content["stable"]["revision"] == SEVEN
    assert content["rollout"]["steps"][1]["weight"] == 20
    view = read_record(record)
    assert view is not None
    assert view.rollout == "0123456789"
    assert view.decision is not None
    assert view.decision.reason == "Worse"


@pytest.mark.parametrize("data", [{}, {"record.json": "{"}, {"record.json": "{}"}, None])
def test_a_record_that_cannot_be_read_says_nothing(data: Any) -> None:
    assert read_record({"data": data}) is None


def blue_green(step: int, weight: int, stage: str = "Trial") -> MemberPlan:
    """Version 8 at a step of a blue-green trial, with a preview host."""
    settings = {
        "type": "BlueGreen",
        "blueGreen": {"previewHostnames": ["preview.example.com"]},
        "analysis": {"metrics": [], "guards": [{"name": "p99", "query": "x", "max": "1"}]},
    }
    steps = [{"weight": each, "startedAt": "2026-11-23T12:00:00Z"} for each in (0, 100)]
    trial = {**rollout(stage, step), "settings": settings, "steps": steps[: step + 1]}
    east = {"name": "east", "reachable": True, "revision": SEVEN, "weight": weight, "wave": 0}
    return a_plan(a_status(canary=ref(EIGHT), rollout=trial, clusters=[east]))


def test_a_preview_host_reaches_the_new_version_alone_while_live_traffic_stays() -> None:
    plan = blue_green(0, 0)
    assert plan.route is not None
    assert plan.preview is not None
    assert read_route(plan.route) == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert plan.preview["metadata"]["name"] == "fraud.preview"
    spec = plan.preview["spec"]
    assert spec["hostnames"] == ["preview.example.com"]
    assert spec["parentRefs"] == plan.route["spec"]["parentRefs"]
    [rule] = spec["rules"]
    assert rule["matches"] == plan.route["spec"]["rules"][0]["matches"]
    [backend] = rule["backendRefs"]
    assert (backend["name"], backend["weight"]) == (f"fraud-{EIGHT}", 100)
    [modifier] = backend["filters"]
    assert modifier["requestHeaderModifier"]["set"] == [
        {"name": "assay-stratum", "value": "0123456789/0"}
    ]


def test_the_switch_points_both_slots_to_the_new_version_and_keeps_the_old_pods() -> None:
    plan = blue_green(1, 100)
    assert plan.route is not None
    assert read_route(plan.route) == RouteView(EIGHT, EIGHT, 1, "0123456789/1")
    assert {SEVEN, EIGHT} <= plan.run_revisions
    assert plan.preview == blue_green(0, 0).preview


def test_the_way_back_is_one_write_and_ends_the_preview() -> None:
    plan = blue_green(1, 0, "RollingBack")
    assert plan.route is not None
    assert read_route(plan.route) == RouteView(SEVEN, SEVEN, 1, "idle/0")
    assert plan.preview is None


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "trial.yaml").write_text(golden())
