"""Who may ask something of a rollout, on a real API server with the chart's policy."""

import json
import time
from collections.abc import Iterator

import pytest
import yaml

from assay.api.request import Verb
from demo.stage import CHART, SYSTEM
from fleet import Cluster
from fleet.kubeapi import ApiError
from tests.cluster.admission import Document, create, patch
from tests.cluster.test_crds import a_deployment, with_

pytestmark = pytest.mark.cluster

NAME = "asked"


def asked(name: str = NAME) -> Document:
    """A ModelDeployment that no member matches, so that an operator that is there leaves it alone."""
    document = with_(a_deployment(), "spec.placement.clusterSelector.matchLabels", {"tier": "none"})
    document["metadata"]["name"] = name
    return document


def request(by: str, verb: str = "abort", **fields: object) -> str:
    """The annotation as kubectl assay writes it."""
    document = {"id": "r-1", "verb": verb, "rolloutId": "0123456789", "by": by, **fields}
    return json.dumps(document, separators=(",", ":"))


def role(name: str, *verbs: str) -> dict[str, object]:
    rules = [{"apiGroups": ["assay.dev"], "resources": ["modeldeployments"], "verbs": verbs}]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": "default"},
        "rules": rules,
    }


def binding(user: str, kind: str, name: str) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"asks-{user}", "namespace": "default"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


@pytest.fixture(scope="module")
def hub(hub_with_crds: Cluster) -> Iterator[Cluster]:
    """alice operates, bob may only write objects, carol may pause besides."""
    policy = hub_with_crds.helm(
        "template", "assay", str(CHART), "-n", SYSTEM, "-s", "templates/hub-requests.yaml"
    )
    write = ("get", "patch", "create")
    documents = [
        *yaml.safe_load_all(policy),
        asked(),
        role("asks-write", *write),
        role("asks-pause", *write, "pause", "resume"),
        binding("alice", "ClusterRole", "assay-operate"),
        binding("bob", "Role", "asks-write"),
        binding("carol", "Role", "asks-pause"),
    ]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    hub_with_crds.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=items)
    try:
        deadline = time.monotonic() + 30
        while _is_taken(hub_with_crds):  # the API server takes a policy up a moment later
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield hub_with_crds
    finally:
        hub_with_crds.kubectl("delete", "--ignore-not-found", "-f", "-", input=items)


def _is_taken(hub: Cluster) -> bool:
    try:
        ask(hub, "bob", request("bob"))
    except ApiError:
        return False
    return True


def ask(hub: Cluster, user: str, text: str | None) -> None:
    """Write the annotation as `user`; in a dry run, which asks admission all the same."""
    patch(hub, asked(), {"metadata": {"annotations": {"assay.dev/request": text}}}, user)


@pytest.mark.parametrize("verb", Verb)
def test_who_operates_may_ask_for_everything(hub: Cluster, verb: Verb) -> None:
    ask(hub, "alice", request("alice", verb.value))


def test_a_request_written_by_hand_may_have_blanks(hub: Cluster) -> None:
    ask(hub, "alice", json.dumps(json.loads(request("alice")), indent=1))


@pytest.mark.parametrize(
    ("user", "text", "says"),
    [
        ("bob", request("bob"), '"bob" may not abort: it needs this verb on modeldeployments'),
        ("carol", request("carol", "promote"), '"carol" may not promote'),
        ("alice", request("bob"), 'must be who writes it: "alice"'),
        ("alice", request("alic"), 'must be who writes it: "alice"'),
        ("alice", request("bob", reason='"by":"alice"'), 'must be who writes it: "alice"'),
        ("alice", request("alice", "destroy"), "must be JSON with one verb of pause, resume"),
        ("alice", "abort, please", "must be JSON with one verb of pause, resume"),
        ("carol", '{"verb":"pause",' + request("carol")[1:], "must be JSON with one verb"),
    ],
)
def test_is_denied(hub: Cluster, user: str, text: str, says: str) -> None:
    with pytest.raises(ApiError) as refusal:
        ask(hub, user, text)

    assert says in str(refusal.value)


def test_verbs_are_given_one_by_one(hub: Cluster) -> None:
    ask(hub, "carol", request("carol", "pause"))


def test_nobody_smuggles_a_request_in_with_a_new_object(hub: Cluster) -> None:
    document = asked("smuggled")
    document["metadata"]["annotations"] = {"assay.dev/request": request("alice")}
    with pytest.raises(ApiError, match="may not abort"):
        create(hub, document, "bob")


def test_other_changes_and_the_end_of_a_request_need_no_such_right(hub: Cluster) -> None:
    there = {"metadata": {"annotations": {"assay.dev/request": request("alice")}}}
    patch(hub, asked(), there, "alice", keep=True)

    patch(hub, asked(), {"spec": {"paused": "Promotion"}}, "bob", keep=True)
    ask(hub, "bob", None)
