"""What a manifest would bring, in words; and two states of an object, with secrets struck out."""

import pathlib
from typing import Any

import pytest
import yaml

from assay.api.model_cluster import ModelClusterSpec
from assay.api.model_deployment import ModelDeploymentSpec
from assay.cli.diff_hub import Fleet, outlook
from assay.cli.diff_text import Change
from assay.placement import Candidate
from assay.render.member import running_revisions
from assay.render.revision import revision_hash

from ..rollout.world import PROMOTE, World, a_spec, judged  # noqa: TID252
from .test_hands import PATH, call

WAVES = [
    {"name": "pilot", "clusterSelector": {"matchLabels": {"stage": "pilot"}}, "soakSeconds": 60},
    {"name": "rest", "approval": "Manual"},
]
METRICS = {"analysis": {"metrics": [{"name": "f1", "type": "F1", "margin": "0.02"}]}}


def candidate(name: str, **spec: Any) -> Candidate:
    document = {
        "clusterSource": {"inCluster": {}},
        "prometheus": {"url": "http://prometheus.example.com"},
        **spec,
    }
    labels = {"stage": "pilot"} if name == "east" else {}
    return Candidate(name, labels, ModelClusterSpec.model_validate(document))


EAST_WEST = Fleet((candidate("east"), candidate("west")))


def a_world(spec: ModelDeploymentSpec) -> World:
    """Version 7 serves, under its real hash."""
    world = World()
    world.spec, world.revision = spec, revision_hash(spec)
    return world.run()


def changed(spec: ModelDeploymentSpec, **update: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate({**spec.to_dict(), **update})


def told(world: World, spec: ModelDeploymentSpec, fleet: Fleet = EAST_WEST) -> dict[str, str]:
    found = outlook("ml", "uid-1", 9, spec, world.status, fleet, world.now)
    assert len({key for key, _ in found.lines}) == len(found.lines), found.lines
    return dict(found.lines)


def test_a_first_version_has_no_trial() -> None:
    found = told(World(), seven := a_spec("7", **METRICS))
    assert found == {
        "revision": f"version 7 ({revision_hash(seven)}) is the first of all: no trial, it serves when "
        "its pods are ready",
        "replicas": "2 replicas: east 1; west 1",
    }


def test_a_new_version_starts_a_trial_of_which_steps_waves_and_members_are_told() -> None:
    world = a_world(seven := a_spec("7"))
    eight = changed(a_spec("8", waves=WAVES, **METRICS), serving={"replicas": 4})
    found = outlook("ml", "uid-1", 9, eight, world.status, EAST_WEST, world.now)
    new, old = revision_hash(eight), revision_hash(seven)
    assert dict(found.lines) == {
        "revision": f"version 8 ({new}) is new: its trial begins when its pods are ready; "
        f"version 7 ({old}) serves",
        "trial": "3 steps: 5 %, 20 % for at least 60 s, 50 %; 86400 s at most",
        "verdict": "NotWorse by f1 (F1, margin 0.02)",
        "wave pilot": "members east; serves 60 s before the next one",
        "wave rest": "members west; waits for kubectl assay approve",
        "replicas": "4 replicas: east 2; west 2 (now east 1; west 1)",
    }
    # What members should hold at once: pods of the canary in the first wave, traffic as it is.
    assert running_revisions(found.status, "east") == {old, new}
    assert running_revisions(found.status, "west") == {old}


def test_a_blue_green_trial_is_told_as_one_switch() -> None:
    guards = [{"name": "p99", "query": "x", "max": "0.2"}]
    by_guards = {"type": "BlueGreen", "analysis": {"metrics": [], "guards": guards}}
    found = told(a_world(a_spec("7")), a_spec("8", blueGreen={"approval": "Manual"}, **by_guards))
    assert found["trial"] == (
        "blue-green: a second full set, then all traffic at once, when somebody approves; "
        "the old set stays for at least 30 s; 86400 s at most"
    )
    assert found["verdict"] == "by health and guard p99"


def test_going_back_to_what_was_stable_not_long_ago_is_told_as_such() -> None:
    world = a_world(seven := a_spec("7"))
    world.spec = eight = a_spec("8")
    world.revision = revision_hash(eight)
    world.with_judgement(PROMOTE).later(3600)
    for _ in range(4):
        world.run().later(61)
    assert world.stable == revision_hash(eight)

    found = told(world, a_spec("7", fastTrackRevisions=1))
    assert found["revision"] == (
        f"version 7 ({revision_hash(seven)}) was stable not long ago: it takes all traffic without a "
        f"trial when its pods are ready; version 8 ({revision_hash(eight)}) serves"
    )
    assert found["verdict"].startswith("Promote already: version 7")
    assert "trial" not in found
    assert "its trial begins" in told(world, seven)["revision"]


def test_pods_that_follow_the_load_have_places_for_the_most_of_them() -> None:
    world = a_world(seven := a_spec("7"))
    scaled = changed(seven, serving={"autoscaling": {"minReplicas": 2, "maxReplicas": 6}})
    found = outlook("ml", "uid-1", 9, scaled, world.status, EAST_WEST, world.now)
    assert dict(found.lines)["replicas"] == "6 replicas: east 3; west 3 (now east 1; west 1)"
    assert (dict(found.shares), dict(found.floors)) == (
        {"east": 3, "west": 3},
        {"east": 1, "west": 1},
    )


def test_what_is_no_part_of_the_revision_starts_no_trial() -> None:
    world = a_world(seven := a_spec("7"))
    other = seven.to_dict()["model"] | {"uri": "https://elsewhere.example.com/7", "version": "7b"}
    found = told(world, changed(seven, model=other, serving={"replicas": 6}))
    assert found["revision"].endswith("serves already: no new revision, no trial")
    assert "only a name" in found["note"]
    assert found["replicas"] == "6 replicas: east 3; west 3 (now east 1; west 1)"
    assert "trial" not in found


def test_what_a_running_trial_makes_of_another_manifest() -> None:
    world = a_world(seven := a_spec("7"))
    world.spec = eight = a_spec("8")
    world.revision = revision_hash(eight)
    world.with_judgement(judged(burnt_in=False)).later(3600).run()
    assert world.rollout.steps, "on trial"
    rollout = world.rollout.id

    assert told(world, eight)["revision"].endswith(
        f"is on trial already: rollout {rollout} goes on"
    )
    back = told(world, seven)["revision"]
    assert back.endswith(f"the trial of version 8 ({revision_hash(eight)}) ends at once")
    nine = told(world, a_spec("9"))["revision"]
    assert "takes the place of version 8" in nine
    assert told(world, a_spec("8", maxSeconds=99))["note"] == (
        "spec.rollout: edits count from the next rollout"
    )


def test_a_rejected_version_is_not_tried_again() -> None:
    world = a_world(a_spec("7"))
    world.spec = eight = a_spec("8")
    world.revision = revision_hash(eight)
    world.with_judgement(judged(burnt_in=False)).run()
    world.person("abort").run()
    found = told(world, eight)
    assert "was rejected" in found["revision"]
    assert "AbortedByHand" in found["revision"]
    assert "kubectl assay retry" in found["revision"]


def test_what_does_not_fit_and_what_is_paused_is_said() -> None:
    world = a_world(seven := a_spec("7"))
    small = Fleet((candidate("east", capacity={"replicas": 2}),), taken={"east": 0})
    found = told(world, changed(seven, serving={"replicas": 3}), small)
    assert found["Placed"].startswith("False, CapacityExceeded: 3 replicas wanted, members allow 1")
    assert found["note"] == "member west is left when all others serve"
    paused = told(world, changed(a_spec("8"), paused="All"))
    assert paused["revision"].endswith("nothing happens before spec.paused lets it")
    assert paused["Paused"].startswith("True, PausedInSpec")


@pytest.mark.parametrize("waits", [False, True], ids=["its pods are there", "its pods start"])
def test_a_trial_that_goes_on_is_told_as_it_is(*, waits: bool) -> None:
    """Of a canary with fewer pods than stable, and of one that waits for more, nothing is made up."""
    world = World(replicas=4)
    world.spec = a_spec("7", canary={"steps": [{"weight": 20}, {"weight": 50}]}, **METRICS)
    world.revision = revision_hash(world.spec)
    world.run()
    spec = changed(a_spec("8"), rollout=world.spec.rollout.to_dict())
    world.spec, world.revision, world.generation = spec, revision_hash(spec), 9
    world.with_judgement(judged(burnt_in=False)).run()
    if waits:
        world.slow = {world.revision}
        world.with_judgement(judged()).later(60).look()
        world.with_judgement(None).look()
    eight = changed(spec, serving={"replicas": 8})

    found = outlook("ml", "uid-1", 9, eight, world.status, EAST_WEST, world.now)

    assert [item.weight for item in found.status.clusters] == [20, 20]
    assert found.status.rollout == world.status.rollout
    before = {item.name: (item.revision, item.weight) for item in world.status.clusters}
    assert {item.name: (item.revision, item.weight) for item in found.status.clusters} == before


def test_without_the_right_to_read_modelclusters_the_members_of_status_stay() -> None:
    world = a_world(seven := a_spec("7"))
    found = told(world, changed(seven, serving={"replicas": 6}), Fleet())
    assert found["replicas"] == "2 replicas: east 1; west 1"


def test_a_lost_member_is_placed_elsewhere() -> None:
    world = a_world(seven := changed(a_spec("7"), placement={"tolerationSeconds": 10}))
    world.loses("east").look()
    world.later(60)
    away = Fleet(EAST_WEST.candidates, frozenset({"east"}))
    assert told(world, seven, away)["replicas"] == "2 replicas: west 2 (now east 1; west 1)"


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("old", "new", ["-  key: '*** (now)'", "+  key: '*** (then)'"]),
        (None, "new", ["+  key: '***'"]),
        ("old", "old", []),
    ],
)
def test_secrets_are_struck_out(before: str | None, after: str, shown: list[str]) -> None:
    def secret(value: str | None) -> dict[str, Any] | None:
        metadata = {"name": "s", "uid": value, "resourceVersion": value}
        data = {"key": value, "same": "x"}
        return value and {"kind": "Secret", "metadata": metadata, "data": data}  # type: ignore[return-value]

    lines = list(Change("east/Secret/s", secret(before), secret(after)).lines())
    assert [line for line in lines if "key:" in line] == shown
    assert not any("old" in line or "new" in line for line in lines)
    assert bool(lines) == bool(shown)


def test_what_an_api_server_keeps_for_itself_is_no_difference() -> None:
    metadata = {
        "name": "d",
        "generation": 1,
        "annotations": {"deployment.kubernetes.io/revision": "1"},
    }
    before = {
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {"replicas": 1},
        "status": {"a": 1},
    }
    after = {"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2}}
    lines = list(Change("d", before, after).lines())
    assert lines[2:] == [
        "@@ -2,4 +2,4 @@",
        " metadata:",
        "   name: d",
        " spec:",
        "-  replicas: 1",
        "+  replicas: 2",
    ]


class Hub:
    """A hub with one ModelDeployment that answers dry runs; nobody may read anything else there."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.content_types: list[str | None] = []
        self.queries: list[str] = []
        self.refuses = ""

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        path, _, query = path.partition("?")
        if path == PATH.replace("fraud", "nothing"):
            return 404, {"message": "not found"}
        if path != PATH:
            return 403, {"message": f"{path} is forbidden to alice"}
        document = {
            "apiVersion": "assay.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {
                "name": "fraud",
                "namespace": "ml",
                "uid": "uid-1",
                "resourceVersion": "7",
                "generation": self.world.generation,
            },
            "spec": self.world.spec.to_dict(),
            "status": self.world.document,
        }
        if method == "PATCH":
            self.queries.append(query)
            if self.refuses:
                return 422, {"message": self.refuses}
            document["spec"] = body[0]["value"]
        return 200, document


@pytest.fixture
def hub() -> Hub:
    return Hub(a_world(a_spec("7")))


def manifest(path: pathlib.Path, spec: ModelDeploymentSpec, **changes: Any) -> str:
    document = {
        "apiVersion": "assay.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "fraud", "namespace": "ml"},
        "spec": {**spec.to_dict(), **changes},
    }
    file = path / "fraud.yaml"
    file.write_text(yaml.safe_dump(document))
    return str(file)


def test_a_manifest_is_tried_by_a_dry_run(
    hub: Hub, kubeconfig: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    found = call(kubeconfig, "diff", manifest(tmp_path, a_spec("8")))
    assert found.exit_code == 1, found.output
    assert {"-    version: '7'", "+    version: '8'"} <= set(found.stdout.splitlines())
    assert "is new: its trial begins when its pods are ready" in found.stdout
    assert "members are those of status" in found.stdout
    assert "objects in east, west are not compared" in found.stdout
    assert hub.queries == ["dryRun=All&fieldManager=kubectl-assay&fieldValidation=Strict"]
    assert "application/json-patch+json" in hub.content_types

    same = call(kubeconfig, "diff", manifest(tmp_path, hub.world.spec))
    assert same.exit_code == 0, same.output
    assert call(kubeconfig, "diff", "fraud", "-n", "ml").exit_code == 0


@pytest.mark.parametrize(
    ("changes", "refuses", "message"),
    [
        ({"serving": {"replicas": 0}}, "", "spec.serving.replicas: "),
        ({"traffic": {}}, "", "traffic.parentRefs must name a Gateway"),
        ({}, "spec: Invalid value: the weights must not decrease", "weights must not decrease"),
    ],
    ids=["a value", "a field that is missing", "a rule of the hub"],
)
def test_what_is_wrong_with_a_manifest_is_said_by_field(
    hub: Hub,
    kubeconfig: pathlib.Path,
    tmp_path: pathlib.Path,
    changes: dict[str, Any],
    refuses: str,
    message: str,
) -> None:
    hub.refuses = refuses
    found = call(kubeconfig, "diff", manifest(tmp_path, a_spec("8"), **changes))
    assert found.exit_code == 2
    assert message in found.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "there is no ModelDeployment ml/nothing"),
        (["./nothing.yaml"], "./nothing.yaml: No such file or directory"),
        ([], "Missing argument"),
    ],
)
def test_what_is_not_there_is_an_error(
    kubeconfig: pathlib.Path, words: list[str], message: str
) -> None:
    found = call(kubeconfig, "diff", *words)
    assert found.exit_code == 2
    assert message in found.stderr
