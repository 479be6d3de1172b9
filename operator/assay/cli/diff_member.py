"""What would change in one member: its API server answers, by dry runs of what the operator writes."""

import base64
import binascii
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from assay.api import FIELD_MANAGER
from assay.members import receipts, resources
from assay.render.entry import read_entry
from assay.render.member import MemberPlan, MemberTarget, Target, least_pods, plan
from assay.render.naming import COMPONENT_LABEL, SERVER, preview_name, receipts_name, revision_of

from .cluster import APPLY, Cluster, Refused
from .diff_text import Change


def changes(member: Cluster, target: Target, share: MemberTarget) -> Iterator[Change]:
    """Yield every object of one ModelDeployment that differs from what it should be, or not.

    Nothing is written. What is in the receipt keys cannot be told from outside: only that the
    Secret is there, and has the form that it should have.

    Raises
    ------
    Refused
        What the member's API server says, or that it does not answer.
    """
    keys = _keys(member, target)
    wanted = plan(replace(target, keys=keys or receipts.new_keys(time.time())), share)
    for document in (wanted.record, *wanted.ledger):
        if keys is None and document["kind"] == "Secret":
            # The operator has them, or makes them: we can say no more than whether it is there.
            if member.find(resources.path_of(document)) is None:
                yield _change(share.name, None, document)
            continue
        yield _dry_run(member, share.name, document)
    for objects in wanted.revisions:
        anchor = _dry_run(member, share.name, objects.anchor)
        yield anchor
        scaler = objects.autoscaler
        for document in objects.owned((anchor.after or {})["metadata"].get("uid", "")):
            if document["kind"] == "Deployment" and scaler is not None:
                document = _as_scaled(member, document, scaler["spec"]["minReplicas"])  # noqa: PLW2901
            yield _dry_run(member, share.name, document)
    for route in filter(None, (wanted.route, wanted.entry, wanted.preview, wanted.sticky)):
        yield _dry_run(member, share.name, route)
    yield from _pruned(member, target, share.name, wanted)


def _keys(member: Cluster, target: Target) -> str | None:
    """Return the member's keys.json; None if there is none that can be used or read."""
    path = resources.path("Secret", target.namespace, receipts_name(target.name))
    try:
        found = member.find(path)
        text = base64.b64decode(((found or {}).get("data") or {}).get("keys.json", "")).decode()
    except Refused as error:
        if error.status != 403:
            raise
        return None
    except (binascii.Error, UnicodeDecodeError):
        return None
    return receipts.merge([text])


def least(member: Cluster, target: Target, name: str, floor: int | None) -> dict[str, int]:
    """Return the least pods by revision in the member `name`; empty if their number is fixed.

    Raises
    ------
    Refused
        What the member's API server says.
    """
    if floor is None:
        return {}
    path = resources.path("Deployment", target.namespace)
    selector = f"{resources.DEPLOYMENT}={target.name},{COMPONENT_LABEL}={SERVER}"
    found = member.request("GET", path, {"labelSelector": selector})["items"]
    desired = {
        revision_of(item["metadata"]["name"]): int(item["spec"].get("replicas", 1))
        for item in found
    }
    return least_pods(target.status, name, floor, desired)


def _as_scaled(member: Cluster, document: dict[str, Any], floor: int) -> dict[str, Any]:
    """Return a Deployment with the number of pods that it keeps or begins with: it is handed over."""
    before = member.find(resources.path_of(document))
    number = floor if before is None else max(before["spec"].get("replicas", 1), floor)
    return {**document, "spec": {**document["spec"], "replicas": number}}


def _dry_run(member: Cluster, name: str, document: dict[str, Any]) -> Change:
    path = resources.path_of(document)
    before = member.find(path)
    query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All"}
    try:
        after = member.request("PATCH", path, query, document, APPLY)
    except Refused as error:
        if before is None or error.status != 422 or "immutable" not in error.message:
            raise Refused(error.status, f"{_title(name, document)}: {error.message}") from None
        # Data of a ControllerRevision never change: the operator makes it anew.
        after = {**before, **document, "metadata": before["metadata"] | document["metadata"]}
    return _change(name, before, after)


def _pruned(member: Cluster, target: Target, name: str, wanted: MemberPlan) -> Iterator[Change]:
    """Yield what is there and would be removed."""
    selector = f"{resources.DEPLOYMENT}={target.name},{COMPONENT_LABEL}={SERVER}"
    for kind, kept in wanted.staying:
        path = resources.path(kind, target.namespace)
        for item in member.request("GET", path, {"labelSelector": selector})["items"]:
            if item["metadata"]["labels"].get(resources.REVISION) not in kept:
                version = resources.API_VERSIONS[kind]
                yield _change(name, {"apiVersion": version, "kind": kind, **item}, None)
    for document, kind, called in (
        (wanted.route or not wanted.entry, "HTTPRoute", target.name),
        (wanted.entry or not wanted.route, "Service", target.name),
        (wanted.preview, "HTTPRoute", preview_name(target.name)),
        (wanted.sticky, "BackendTrafficPolicy", target.name),
    ):
        path = resources.path(kind, target.namespace, called)
        if document:
            continue
        found = member.find(path)
        if found is not None and (kind != "Service" or read_entry(found) is not None):
            yield _change(name, found, None)


def _change(name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Change:
    return Change(_title(name, before or after or {}), before, after)


def _title(name: str, document: dict[str, Any]) -> str:
    return f"{name}/{document['kind']}/{document['metadata']['name']}"
