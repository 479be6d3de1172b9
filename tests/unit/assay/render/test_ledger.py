"""The ledger of a member: where labels are kept, who may send them, what servers are told."""

import base64
import json
from typing import Any

import pytest

from assay.render.member import MemberPlan
from assay.render.route import read_route

from .builders import IMAGE, KEYS, SEVEN, a_plan, a_spec, a_status
from .test_member import the


def settings(plan: MemberPlan) -> dict[str, Any]:
    pod = the(plan, "StatefulSet", "fraud-ledger")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    return {
        item["name"].removeprefix("ASSAY_"): item.get("value") or item["valueFrom"]
        for item in container["env"]
    }


def files(plan: MemberPlan, name: str) -> dict[str, str]:
    data = the(plan, "Secret", name)["data"]
    return {file: base64.b64decode(content).decode() for file, content in data.items()}


def a_plan_with(**feedback: Any) -> MemberPlan:
    return a_plan(a_status(), spec=a_spec(feedback=feedback))


def test_it_is_one_process_with_a_volume_that_goes_with_it() -> None:
    plan = a_plan(a_status(), spec=a_spec(serving__image="example.com/own:2"))
    ledger = the(plan, "StatefulSet", "fraud-ledger")["spec"]

    assert ledger["replicas"] == 1
    assert ledger["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
    assert ledger["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert json.loads(settings(plan)["MEMBERS"]) == {
        "east": "http://feedback.east.example.com",
        "west": None,
    }
    assert settings(plan)["STORE"] == "sqlite:////data/ledger.db"
    assert json.loads(files(plan, "fraud-receipts")["keys.json"])["active"] == "k1"


def test_labels_in_a_database_need_no_volume_and_show_no_password() -> None:
    plan = a_plan_with(databaseSecretName="labels-db")
    ledger = the(plan, "StatefulSet", "fraud-ledger")["spec"]
    assert settings(plan)["STORE"] == {"secretKeyRef": {"name": "labels-db", "key": "url"}}
    assert "volumeClaimTemplates" not in ledger
    mounts = ledger["template"]["spec"]["containers"][0]["volumeMounts"]
    assert "/data" not in [mount["mountPath"] for mount in mounts]


def test_what_a_missing_label_means_reaches_the_ledger() -> None:
    found = settings(a_plan_with(missingLabel="Negative", labelAgeSeconds=3600))
    assert found["MISSING_LABEL"] == "Negative"
    assert (found["LABEL_AGE_SECONDS"], found["LABEL_WINDOW_SECONDS"]) == ("3600", "2592000")


@pytest.mark.parametrize(
    ("feedback", "ship"),
    [
        ({}, "None"),
        ({"joinBy": "RequestId"}, "All"),
        ({"missingLabel": "Negative", "labelAgeSeconds": 60}, "All"),
    ],
)
def test_servers_are_told_by_a_file_what_to_ship(feedback: dict[str, Any], ship: str) -> None:
    plan = a_plan_with(**feedback)
    assert json.loads(files(plan, "fraud-receipts")["feedback.json"]) == {"ship": ship}
    same = a_plan(a_status())
    assert [item.deployment for item in plan.revisions] == [
        item.deployment for item in same.revisions
    ], "no pod that serves restarts"


def test_labels_come_through_the_gateway_only_where_that_is_asked_for() -> None:
    inside, outside = a_plan_with(), a_plan_with(exposure="Gateway")
    assert "LABEL_TOKEN_FILE" not in settings(inside)
    assert settings(outside)["LABEL_TOKEN_FILE"] == "/etc/assay/tokens/label-token"
    assert inside.route
    assert outside.route
    assert len(inside.route["spec"]["rules"]) == 1
    predictions, labels = outside.route["spec"]["rules"]
    assert predictions == inside.route["spec"]["rules"][0]
    assert labels["backendRefs"] == [{"name": "fraud-ledger", "port": 80}]
    [match] = labels["matches"]
    assert match["path"] == {"type": "Exact", "value": "/v2/models/fraud/feedback"}
    assert read_route(outside.route) == read_route(inside.route)


def test_tokens_are_the_same_in_all_members_and_tell_no_key() -> None:
    plan = a_plan(a_status())
    found = files(plan, "fraud-labels")
    assert found.keys() == {"label-token", "export-token"}
    assert len(set(found.values())) == 2
    assert all(len(token) == 32 for token in found.values())
    keys = files(plan, "fraud-receipts")["keys.json"]
    assert not any(token in keys for token in found.values())
    salted = KEYS.replace("c2FsdA==", "b3RoZXI=")
    other = files(a_plan(a_status(), keys=salted), "fraud-labels")
    assert set(other.values()).isdisjoint(found.values())


def test_without_keys_there_is_no_ledger_in_the_plan() -> None:
    plan = a_plan(a_status(), keys="")
    assert plan.ledger == ()
    assert plan.route
    assert SEVEN in plan.run_revisions
