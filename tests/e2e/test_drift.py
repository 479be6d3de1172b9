"""What somebody changes or deletes in a member comes back; what a deletion left there goes, nothing else."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest

from assay.api.deployment_status import Stage as RolloutStage
from demo.manifests import NAMESPACE
from demo.models import Version, artifact
from demo.stage import SYSTEM, Stage
from fleet import Cluster
from fleet.processes import CommandError
from tests.e2e.test_placement import out_of_reach
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e

AT_ONCE = 30.0
A_LOOK = 120.0
"""What is not watched is asked for once a minute, at a look; in a trial there is one every 10 s."""

OURS = ("replicas", "selector", "ports", "rules", "maxUnavailable")
SERVERS = "app.kubernetes.io/component=server"
KINDS = {
    "httproutes": AT_ONCE,
    "deployments": AT_ONCE,
    "statefulsets": AT_ONCE,
    "services": AT_ONCE,
    "poddisruptionbudgets": AT_ONCE,
    "controllerrevisions": A_LOOK,
    "configmaps": A_LOOK,
    "secrets": A_LOOK,
}


def ours(document: dict[str, Any]) -> dict[str, Any]:
    """What of an object we write, as far as nobody else fills it in."""
    labels = document["metadata"]["labels"]
    spec, data = document.get("spec", {}), document.get("data")
    told = {key: spec.get(key) for key in OURS}
    if data and "record.json" in data:
        # When a wave last began to serve is in it too: pods that were deleted before are new.
        record = json.loads(data["record.json"])
        data = {key: record.get(key) for key in ("origin", "uid", "stable", "canary")}
    return {"labels": labels, "data": data, "spec": told}


Snapshot = dict[str, tuple[str, dict[str, Any]]]
"""The uid and content of objects, by name."""


def snapshot(trial: Trial, kind: str) -> Snapshot:
    """The uid and content of every object of a kind in east that is not being deleted."""
    return {
        item["metadata"]["name"]: (item["metadata"]["uid"], ours(item))
        # The StatefulSet controller keeps ControllerRevisions of its own, with the pods' labels.
        for item in trial.objects("east", kind, SERVERS if kind == "controllerrevisions" else "")
        if "deletionTimestamp" not in item["metadata"]
    }


CHANGES: dict[str, dict[str, Any]] = {
    "httproutes": {"spec": {"rules": [{"matches": [{"path": {"value": "/nowhere"}}]}]}},
    "deployments": {"spec": {"replicas": 2}},
    "statefulsets": {"spec": {"replicas": 2}},
    "services": {
        "spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http", "targetPort": 1234}]}
    },
    "poddisruptionbudgets": {"spec": {"maxUnavailable": "100%"}},
    "controllerrevisions": {"metadata": {"labels": {"app.kubernetes.io/part-of": "nothing"}}},
    "configmaps": {"data": {"record.json": "{}"}},
}
"""Something that we own, by kind."""


def change(trial: Trial, kind: str, name: str) -> None:
    changes = CHANGES.get(kind)
    if changes is None:  # a Secret: every key that it has, and none that is nobody's to take away
        _, content = snapshot(trial, kind)[name]
        changes = {"data": dict.fromkeys(content["data"], "bm9uc2Vuc2U=")}
    where = ("-n", NAMESPACE, "--type=merge", "-p", json.dumps(changes))
    trial.stage.members["east"].kubectl("patch", kind, name, *where)


def delete(trial: Trial, kind: str, name: str) -> None:
    trial.stage.members["east"].kubectl("delete", kind, name, "-n", NAMESPACE, "--wait=false")


def contents(objects: Snapshot) -> dict[str, dict[str, Any]]:
    return {name: content for name, (_, content) in objects.items()}


def is_undone(
    trial: Trial, kind: str, before: Snapshot, does: Callable[[Trial, str, str], None]
) -> bool:
    """Whether all objects are there as they were or, once they were deleted, others of their names."""
    now = snapshot(trial, kind)
    if does is change:
        return contents(now) == contents(before)
    return now.keys() == before.keys() and all(now[name][0] != before[name][0] for name in before)


@pytest.mark.parametrize("does", [change, delete])
def test_what_somebody_does_to_any_object_in_a_member_is_undone(
    trial: Trial, does: Callable[[Trial, str, str], None]
) -> None:
    trial.start(artifact(Version.FIRST), {"serving.replicas": 2})
    trial.apply(artifact(Version.GOOD), {"serving.replicas": 2})
    found = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
    assert found.status.rollout is not None
    rollout = found.status.rollout.id
    watched = [[kind] for kind, seconds in KINDS.items() if seconds == AT_ONCE]
    # Those that are looked at now and then are all found by one look.
    looked_at = [kind for kind, seconds in KINDS.items() if seconds == A_LOOK]
    for kinds in (*watched, looked_at):
        before = {kind: snapshot(trial, kind) for kind in kinds}
        assert all(before.values()), before
        for kind in kinds:
            for name in before[kind]:
                does(trial, kind, name)
        for kind in kinds:
            undone = functools.partial(is_undone, trial, kind, before[kind], does)
            wait_until(f"{kind} as they were", undone, KINDS[kind])
            if does is delete:
                # The same content under another uid: keys, record and templates are what they were.
                assert contents(snapshot(trial, kind)) == contents(before[kind])
    trial.until("ready again", lambda it: it.condition("Available")[0] == "True")
    found = trial.until_stage(RolloutStage.TRIAL, Version.GOOD.value)
    assert found.status.rollout is not None
    assert found.status.rollout.id == rollout


def a_map(name: str, deployment: str, origin: str) -> str:
    labels = {
        "app.kubernetes.io/managed-by": "assay",
        "assay.dev/deployment": deployment,
        "assay.dev/origin": origin,
    }
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def left(cluster: Cluster, name: str) -> list[str]:
    """Everything of one ModelDeployment in a member but pods that are ending."""
    kinds = ",".join(KINDS)
    selector = f"assay.dev/deployment={name},assay.dev/origin!=another"
    return cluster.kubectl("get", kinds, "-n", NAMESPACE, "-l", selector, "-o", "name").split()


@pytest.mark.parametrize("let_go", [False, True], ids=["waits", "let-go"])
def test_a_member_that_was_away_when_a_model_was_deleted_is_cleaned_when_it_returns(
    trial: Trial, stage: Stage, *, let_go: bool
) -> None:
    trial.start(artifact(Version.FIRST), {"serving.replicas": 2})
    neighbour = Trial(stage, trial.store, f"{trial.name}-b")
    neighbour.start(artifact(Version.FIRST), {"serving.replicas": 2})
    east = stage.members["east"]
    origin = json.loads(stage.hub.kubectl("get", "ns", "kube-system", "-o", "json"))
    uid = origin["metadata"]["uid"]
    # One of a hub that we do not know, and one that nobody has recorded the deletion of.
    maps = (a_map("stranger", trial.name, "another"), a_map("ghost", "never-recorded", uid))
    for document in maps:
        east.kubectl("apply", "-f", "-", input=document)
    beside = left(east, neighbour.name)
    try:
        with out_of_reach(stage, "east"):
            trial.until("away", lambda it: it.condition("MembersReachable")[0] == "False")
            delete_words = ("delete", "mdep", trial.name, "-n", NAMESPACE, "--wait=false")
            stage.hub.kubectl(*delete_words)
            wait_until("west is clean", lambda: not left(stage.members["west"], trial.name), 120.0)
            found = trial.until("it says so", lambda it: it.condition("Ready")[1] == "Deleting")
            assert "east" in found.condition("Ready")[2]
            if let_go:
                words = ("annotate", "mdep", trial.name, "-n", NAMESPACE, "assay.dev/abandon=east")
                stage.hub.kubectl(*words)
                wait_until("it is gone", functools.partial(_is_gone, stage, trial.name), 60.0)
                assert _tombstones(stage)
            assert left(east, trial.name), "nothing there knows of it"
        wait_until("east is clean", lambda: not left(east, trial.name), 120.0)
        wait_until("it is gone", functools.partial(_is_gone, stage, trial.name), 60.0)
        wait_until("no tombstone is left", lambda: not _tombstones(stage), 60.0)
        assert left(east, neighbour.name) == beside
        for name in ("stranger", "ghost"):
            east.kubectl("get", "configmap", name, "-n", NAMESPACE)
    finally:
        for document in maps:
            east.kubectl("delete", "--ignore-not-found", "-f", "-", input=document)
        neighbour.delete()


def _is_gone(stage: Stage, name: str) -> bool:
    try:
        stage.hub.kubectl("get", "mdep", name, "-n", NAMESPACE)
    except CommandError:
        return True
    return False


def _tombstones(stage: Stage) -> list[str]:
    selector = "app.kubernetes.io/component=tombstone"
    return stage.hub.kubectl("get", "cm", "-n", SYSTEM, "-l", selector, "-o", "name").split()
