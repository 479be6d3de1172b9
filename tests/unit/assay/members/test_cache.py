"""What is kept of an object, and when somebody is woken."""

from typing import Any

import pytest

from assay.api.model_deployment import StickyBy
from assay.members.cache import Cache, live_digest, pods, summary


def a_deployment(version: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "fraud-7777777777",
            "namespace": "ml",
            "resourceVersion": str(version),
            "generation": 1,
            "labels": {"assay.dev/deployment": "fraud", "assay.dev/revision": "7777777777"},
            **changes.pop("metadata", {}),
        },
        "spec": {"replicas": 2, **changes.pop("spec", {})},
        "status": {"observedGeneration": 1, **changes.pop("status", {})},
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"status": {"readyReplicas": 2}}, True),
        ({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}}}, True),
        ({"metadata": {"managedFields": [{}]}}, True),
        ({"metadata": {"resourceVersion": "9"}}, True),
        ({"spec": {"replicas": 3}}, False),
        ({"metadata": {"labels": {}}}, False),
        ({"metadata": {"ownerReferences": [{"uid": "x"}]}}, False),
        ({"metadata": {"annotations": {"assay.dev/x": "y"}}}, False),
    ],
)
def test_digest_covers_what_we_write(change: dict[str, Any], *, same: bool) -> None:
    assert (live_digest(a_deployment()) == live_digest(a_deployment(**change))) is same


def a_service(*managed: tuple[str, str, dict[str, Any]], **metadata: Any) -> dict[str, Any]:
    """A Service of which only metadata are seen."""
    entries = [
        {"manager": manager, "operation": operation, "fieldsV1": fields}
        for manager, operation, fields in managed
    ]
    return {"kind": "Service", "metadata": {"name": "s", "managedFields": entries, **metadata}}


PORTS = {"f:spec": {"f:ports": {'k:{"port":80}': {"f:targetPort": {}}}}}
WRITTEN = ("assay", "Apply", PORTS)


@pytest.mark.parametrize(
    ("service", "same"),
    [
        (a_service(WRITTEN, resourceVersion="9"), True),
        (a_service(WRITTEN, ("cloud", "Update", {"f:status": {}})), True),
        (a_service(("assay", "Apply", {}), ("kubectl-edit", "Update", PORTS)), False),
        (a_service(("kubectl-edit", "Update", PORTS)), False),
        (a_service(("assay", "Update", PORTS)), False),
        (a_service(WRITTEN, labels={"a": "b"}), False),
    ],
)
def test_of_mere_metadata_who_owns_our_fields_counts(
    service: dict[str, Any], *, same: bool
) -> None:
    assert (live_digest(a_service(WRITTEN)) == live_digest(service)) is same
    # The answer to a write has the rest, too, and is the same object.
    whole = {**a_service(WRITTEN), "spec": {"ports": []}}
    assert live_digest(whole) == live_digest(a_service(WRITTEN))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"readyReplicas": 2, "updatedReplicas": 2}, (2, 2)),
        ({"readyReplicas": 2, "updatedReplicas": 1}, (2, 1)),
        ({"readyReplicas": 2, "updatedReplicas": 2, "observedGeneration": 0}, (2, 0)),
        ({}, (2, 0)),
    ],
)
def test_ready_pods(status: dict[str, int], expected: tuple[int, int]) -> None:
    assert pods(a_deployment(status=status)) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"replicas": 2, "updatedReplicas": 2}, False),
        ({"replicas": 3, "updatedReplicas": 1}, True),
        ({"replicas": 1}, True),
        ({}, False),
    ],
)
def test_pods_that_are_being_replaced(status: dict[str, int], *, expected: bool) -> None:
    assert summary(a_deployment(status=status)).rolling is expected


OURS = {"f:spec": {"f:replicas": {}, "f:template": {}}}
NOT_OURS = {"f:spec": {"f:template": {}}}


def a_scaled_deployment(version: int = 1, replicas: int = 2, **changes: Any) -> dict[str, Any]:
    """One whose number of pods somebody else writes."""
    entries = [
        {"manager": "assay", "operation": "Apply", "fieldsV1": NOT_OURS},
        {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": OURS},
    ]
    metadata = {"resourceVersion": str(version), "managedFields": entries, "generation": version}
    return a_deployment(metadata=metadata, spec={"replicas": replicas}, **changes)


@pytest.mark.parametrize(
    ("entries", "scaled"),
    [
        ([("assay", "Apply", OURS)], False),
        ([("assay", "Apply", NOT_OURS), ("hpa", "Update", OURS)], True),
        ([("assay", "Apply", OURS), ("assay-scale", "Apply", OURS)], False),
        ([("assay", "Update", OURS), ("assay", "Apply", NOT_OURS)], True),
        ([("kubectl", "Update", OURS)], False),
        ([], False),
    ],
)
def test_whose_the_number_of_pods_is(entries: list[tuple[str, str, Any]], *, scaled: bool) -> None:
    managed = [
        {"manager": manager, "operation": operation, "fieldsV1": fields}
        for manager, operation, fields in entries
    ]
    document = a_deployment(metadata={"managedFields": managed})
    assert (
        summary({**document, "metadata": {**document["metadata"], "resourceVersion": "1"}}).scaled
        is scaled
    )


def test_what_an_autoscaler_writes_is_no_drift_and_anything_else_is() -> None:
    one = a_scaled_deployment()
    assert live_digest(one) == live_digest(a_scaled_deployment(2, 5))
    changed = a_scaled_deployment(2)
    changed["spec"]["template"] = {"spec": {}}
    assert live_digest(one) != live_digest(changed)
    # No autoscaler asks for no pods, or changes that.
    assert live_digest(one) != live_digest(a_scaled_deployment(2, 0))
    # Somebody takes the number of a Deployment over that we have written.
    assert live_digest(a_deployment()) != live_digest(one)


def test_pods_that_are_ready_stay_so_while_their_number_changes() -> None:
    cache = Cache(lambda *_: None)
    ready = {"readyReplicas": 2, "updatedReplicas": 2, "replicas": 2}
    cache.put(a_scaled_deployment(1, 2, status=ready))
    cache.put(a_scaled_deployment(2, 4, status=ready))  # not observed yet
    seen = cache.get("Deployment", "ml", "fraud-7777777777")
    assert seen is not None
    assert (seen.desired, seen.ready, seen.rolling) == (4, 2, False)
    # Another template: nobody knows whether its pods are ready before that was observed.
    other = a_scaled_deployment(3, 4, status=ready)
    other["spec"]["template"] = {"spec": {}}
    cache.put(other)
    seen = cache.get("Deployment", "ml", "fraud-7777777777")
    assert seen is not None
    assert (seen.desired, seen.ready) == (4, 0)


def an_autoscaler(*conditions: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "fraud-7777777777", "namespace": "ml", "resourceVersion": "1"},
        "spec": {"minReplicas": 3, "maxReplicas": 5},
        "status": {"conditions": list(conditions)},
    }


@pytest.mark.parametrize(
    ("conditions", "unscaled"),
    [
        ([], None),
        ([{"type": "ScalingActive", "status": "True", "message": "fine"}], None),
        ([{"type": "AbleToScale", "status": "False", "message": "backoff"}], None),
        (
            [{"type": "ScalingActive", "status": "False", "message": "no metrics API"}],
            "the number of pods does not follow the load: no metrics API",
        ),
        (
            [{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}],
            "the number of pods does not follow the load: ScalingDisabled",
        ),
    ],
)
def test_an_autoscaler_says_why_it_does_not_scale(
    conditions: list[dict[str, str]], unscaled: str | None
) -> None:
    seen = summary(an_autoscaler(*conditions))
    assert (seen.desired, seen.unscaled) == (3, unscaled)


def test_wakes_on_change_only() -> None:
    woken: list[tuple[str, str]] = []
    cache = Cache(lambda namespace, name: woken.append((namespace, name)))
    cache.put(a_deployment(1))
    cache.put(a_deployment(2, metadata={"resourceVersion": "2", "managedFields": []}))
    assert woken == [("ml", "fraud")]
    cache.put(a_deployment(3, status={"readyReplicas": 2, "updatedReplicas": 2}))
    assert len(woken) == 2


def test_older_news_is_dropped() -> None:
    cache = Cache(lambda *_: None)
    cache.put(a_deployment(10, spec={"replicas": 5}))
    cache.put(a_deployment(9))
    seen = cache.get("Deployment", "ml", "fraud-7777777777")
    assert seen is not None
    assert seen.desired == 5


def test_a_list_forgets_what_is_not_in_it() -> None:
    woken: list[str] = []
    cache = Cache(lambda _, name: woken.append(name))
    store = cache.store("Deployment")
    item = a_deployment()
    del item["kind"]  # items of a list carry none
    store.replace([item])
    assert set(cache.of("ml", "fraud")) == {("Deployment", "ml", "fraud-7777777777")}
    store.replace([])
    assert cache.of("ml", "fraud") == {}
    assert woken == ["fraud", "fraud"]


def test_an_object_is_of_the_deployment_that_it_names_now() -> None:
    woken: list[str] = []
    cache = Cache(lambda _, name: woken.append(name))
    cache.put(a_deployment(1))
    moved = {"resourceVersion": "2", "labels": {"assay.dev/deployment": "churn"}}
    cache.put(a_deployment(2, metadata=moved))
    assert cache.of("ml", "fraud") == {}
    assert len(cache.of("ml", "churn")) == 1
    assert woken == ["fraud", "fraud", "churn"]


def test_only_little_is_kept() -> None:
    seen = summary(a_deployment())
    assert (seen.deployment, seen.revision, seen.desired) == ("fraud", "7777777777", 2)
    assert not hasattr(seen, "spec")


def test_everybody_is_woken_when_a_kind_comes_or_goes() -> None:
    woken: list[str] = []
    cache = Cache(lambda _, name: woken.append(name))
    cache.put(a_deployment())
    woken.clear()
    for why in ("there is none", "there is none", None, None):
        cache.lacks("BackendTrafficPolicy", why)
        assert cache.lacking("BackendTrafficPolicy") == why
    assert woken == ["fraud", "fraud"]


def test_what_a_gateway_says_to_a_policy_wakes() -> None:
    woken: list[str] = []
    cache = Cache(lambda _, name: woken.append(name))
    labels = {"assay.dev/deployment": "fraud"}
    policy: dict[str, Any] = {
        "kind": "BackendTrafficPolicy",
        "metadata": {
            "name": "fraud",
            "namespace": "ml",
            "resourceVersion": "1",
            "generation": 1,
            "labels": labels,
        },
        "spec": {
            "loadBalancer": {"consistentHash": {"type": "Cookie", "cookie": {"name": "session"}}}
        },
    }
    cache.put(policy)
    said = {"type": "Accepted", "status": "True", "observedGeneration": 1}
    metadata = {**policy["metadata"], "resourceVersion": "2"}
    cache.put({**policy, "metadata": metadata, "status": {"ancestors": [{"conditions": [said]}]}})
    seen = cache.get("BackendTrafficPolicy", "ml", "fraud")
    assert seen is not None
    assert seen.sticky is not None
    assert (seen.sticky.by, seen.sticky.problem) == (StickyBy(cookie="session"), None)
    assert woken == ["fraud", "fraud"]
