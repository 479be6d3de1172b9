"""Bad input of every kind gets its exact error and loses nothing."""

import base64
import copy
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
import yaml

from demo.manifests import cluster_manifest
from demo.models import Version, artifact
from demo.stage import SYSTEM, Stage, member_kubeconfig
from tests.e2e.trial import Trial, wait_until

pytestmark = pytest.mark.e2e


def condition(stage: Stage, cluster: str) -> dict[str, str]:
    found = stage.api.find(f"/apis/assay.dev/v1alpha1/modelclusters/{cluster}") or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == "Reachable"), {})


def kubeconfig(stage: Stage, **changes: Any) -> str:
    """East's kubeconfig with some of its fields changed."""
    document = yaml.safe_load(member_kubeconfig(stage.members["east"]))
    document["clusters"][0]["cluster"] |= changes.get("cluster", {})
    document["users"][0]["user"] = changes.get("user", document["users"][0]["user"])
    return yaml.safe_dump(document)


def kubeconfig_server(stage: Stage) -> str:
    server: str = yaml.safe_load(kubeconfig(stage))["clusters"][0]["cluster"]["server"]
    return server


MEMBERS = {
    "no-secret": (
        lambda stage: None,
        "SecretMissing",
        "there is no Secret member-no-secret in the operator's own namespace",
    ),
    "no-key": (
        lambda stage: {"other": "x"},
        "SecretMissing",
        "Secret member-no-key has no key kubeconfig",
    ),
    "unauthorised": (
        lambda stage: {"kubeconfig": kubeconfig(stage, user={"token": "wrong"})},
        "CredentialsInvalid",
        "{east} refuses the credentials: Unauthorized",
    ),
    "unreachable": (
        lambda stage: {"kubeconfig": kubeconfig(stage, cluster={"server": "https://127.0.0.1:1"})},
        "MembersUnreachable",
        "https://127.0.0.1:1",
    ),
    "insecure": (
        lambda stage: {"kubeconfig": kubeconfig(stage, cluster={"insecure-skip-tls-verify": True})},
        "CredentialsInvalid",
        "insecure-skip-tls-verify is refused: give certificate-authority-data",
    ),
    "exec": (
        lambda stage: {"kubeconfig": kubeconfig(stage, user={"exec": {"command": "id"}})},
        "CredentialsInvalid",
        "user.exec is refused, it would run a program in the operator: use a token or a client "
        "certificate",
    ),
    "not-yaml": (
        lambda stage: {"kubeconfig": "}{"},
        "CredentialsInvalid",
        "the kubeconfig is not YAML (line 1)",
    ),
}


@pytest.mark.parametrize(("data", "reason", "words"), MEMBERS.values(), ids=MEMBERS.keys())
def test_a_member_that_cannot_be_used_says_why(
    stage: Stage, request: pytest.FixtureRequest, data: Any, reason: str, words: str
) -> None:
    name = request.node.callspec.id
    manifest = copy.deepcopy(cluster_manifest(name))
    manifest["metadata"]["labels"] = {"tier": "broken"}
    content = data(stage)
    if content is not None:
        stage.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": f"member-{name}", "namespace": SYSTEM},
                "stringData": content,
            }
        )
    stage.apply(manifest)
    try:
        wait_until("a condition", lambda: condition(stage, name).get("status") == "False")
        found = condition(stage, name)
    finally:
        stage.hub.kubectl("delete", "modelcluster", name)
        stage.hub.kubectl("delete", "secret", f"member-{name}", "-n", SYSTEM, "--ignore-not-found")

    assert found["reason"] == reason
    words = words.format(east=kubeconfig_server(stage))
    # Only what the operating system says of a closed port is not ours to word.
    assert (
        found["message"].startswith(words) if name == "unreachable" else found["message"] == words
    )


def test_a_wrong_address_names_it_and_a_new_one_mends_it(trial: Trial) -> None:
    good = artifact(Version.FIRST)
    trial.apply(good, {"model.uri": f"{trial.store.url}/nothing-here.skops"})
    found = trial.until("stalled", lambda it: it.condition("Stalled")[0] == "True")

    _, reason, message = found.condition("Stalled")
    assert reason == "ArtifactRejected"
    why = f"FetchFailed: {trial.store.url}/nothing-here.skops does not exist"
    assert message.startswith("version 1 (")
    assert f") cannot start: east: {why}" in message

    trial.apply(good)
    trial.until("serving after the address was mended", lambda it: it.is_ready)


def test_a_selector_that_matches_nobody_says_so(trial: Trial) -> None:
    trial.apply(
        artifact(Version.FIRST), {"placement.clusterSelector.matchLabels": {"tier": "no-such-tier"}}
    )
    found = trial.until("stalled", lambda it: it.condition("Stalled")[0] == "True")

    assert found.condition("Stalled")[1] == "NoMembers"
    assert found.condition("Stalled")[2] == (
        "no ModelCluster with tier=no-such-tier (spec.placement.clusterSelector) allows this namespace"
    )


def post(url: str, body: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_labels_that_must_not_count(trial: Trial) -> None:
    """Unknown, forged, replayed and misdirected receipts, and a body beyond all measure."""
    trial.start(artifact(Version.FIRST))
    with trial.stream(20.0) as stream:
        wait_until(
            "receipts of both members",
            lambda: {row.member for row in stream.log.rows()} == {"east", "west"},
        )
        stream.pause()
        assert stream.drain(30.0) == 0
    east = next(target for target in trial.stage.targets(trial.name) if target.member == "east")
    url = f"{east.ledger}/v2/models/{trial.name}/feedback"
    receipts = {row.member: row for row in stream.log.rows()}
    mine, foreign = receipts["east"], receipts["west"]
    version, payload, _ = mine.receipt.split(".")
    forged = ".".join([version, payload, base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")])
    other = "benign" if mine.truth == "malignant" else "malignant"

    def one(receipt: str, label: str) -> tuple[int, dict[str, Any]]:
        status, answer = post(
            url, json.dumps({"labels": [{"receipt": receipt, "label": label}]}).encode()
        )
        return status, answer["results"][0]

    assert one(mine.receipt, mine.truth)[1]["status"] == "duplicate"
    assert one(mine.receipt, other)[1]["status"] == "conflict"
    assert one(forged, mine.truth)[1]["status"] == "forged"
    assert one("never-seen", "benign")[1]["status"] == "malformed"
    status, misdirected = one(foreign.receipt, foreign.truth)
    assert (status, misdirected["status"]) == (421, "wrong_member")
    assert misdirected["address"] == "http://feedback.west.example.com"
    assert post(url, b"x" * (2 << 20))[0] == 413
    assert post(url, b"{")[0] == 400

    infer = f"{trial.stage.members['east'].gateway_url()}/v2/models/{trial.name}/infer"
    status, answer = post(
        infer, b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}'
    )
    assert status == 400
    assert answer == {"error": "inputs[0].shape: the model takes 30 features, got 2"}
