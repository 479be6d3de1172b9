"""``kubectl assay diff``: what a manifest would change, or what is not as it should be."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pydantic

from assay.api import API_VERSION
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.controller.hub import Deployment, deployment, field_error
from assay.controller.reservations import held
from assay.render.member import MemberTarget
from assay.rollout.traffic import cluster_of

from .cluster import JSON_PATCH, Cluster, Refused
from .contexts import Members, contexts_option
from .diff_hub import Fleet, outlook
from .diff_member import changes, least
from .diff_sources import fleet, operator, target
from .diff_text import Change
from .document import InputError, load_objects
from .hub import FIELD_MANAGER, deployment_path, kubeconfig_options

_STRICT = {"dryRun": "All", "fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}


@click.command("diff", short_help="What a manifest would change, or what has drifted.")
@click.argument("what", metavar="NAME|FILE...", nargs=-1, required=True)
@contexts_option
@kubeconfig_options
def diff_command(
    what: tuple[str, ...],
    contexts: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
) -> None:
    """Show what would change if a manifest were applied: on the hub, and in its members.

    With the NAME of a ModelDeployment: what differs now from what the operator wants. Whatever has
    a dot or a slash is a FILE; - is stdin. Nothing is written, here or there.

    The hub alone tells what would follow: whether there is a new revision and a trial, which steps
    and waves, and where the replicas go. What objects would change is asked of each member that
    --contexts names, by dry runs; they need the right to patch what the operator writes.

    Exit code 0: no difference, 1: some, 2: an error.
    """
    try:
        hub = Cluster("the hub", context, kubeconfig)
        members = Members(hub, kubeconfig, contexts)
        space = namespace or hub.namespace
        found = [
            differs
            for item in what
            for differs in (
                _files(hub, members, item, namespace)
                if _is_file(item)
                else [_drift(hub, members, space, item)]
            )
        ]
    except click.ClickException as error:
        # With the exit code that kubectl diff has for an error; 1 means a difference.
        raise InputError(error.format_message()) from None
    raise click.exceptions.Exit(int(any(found)))


def _is_file(word: str) -> bool:
    return word == "-" or "." in word or "/" in word


def _files(hub: Cluster, members: Members, file: str, namespace: str | None) -> Iterator[bool]:
    documents = [item for item in load_objects(file) if item.get("kind") == "ModelDeployment"]
    if not documents:
        raise InputError(f"{file}: holds no ModelDeployment of {API_VERSION}")
    for document in documents:
        yield _manifest(hub, members, file, document, namespace)


def _manifest(
    hub: Cluster, members: Members, file: str, document: dict[str, Any], namespace: str | None
) -> bool:
    """Show what `document` would change; return whether anything."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise InputError(f"{file}: metadata.name: is missing")
    if document.get("apiVersion") != API_VERSION:
        raise InputError(f"{file}: apiVersion: must be {API_VERSION}")
    space = (metadata or {}).get("namespace") or namespace or hub.namespace
    if namespace not in {None, space}:
        raise InputError(f"{file}: metadata.namespace is {space}, not {namespace}")
    _say(f"{space}/{name}")
    try:
        ModelDeploymentSpec.model_validate(document.get("spec") or {})
    except pydantic.ValidationError as error:
        raise InputError(f"{file}: spec.{field_error(error)}") from None
    before = hub.find(deployment_path(space, name))
    after = _admitted(hub, space, name, document, before)
    change = Change(f"hub/ModelDeployment/{name}", before, after)
    lines = list(change.lines())
    _print(lines)
    # What a dry run creates has no version yet.
    item = deployment({**after, "metadata": {"resourceVersion": "", **after["metadata"]}})
    differs = _in_members(hub, members, item, _expected(hub, item))
    return bool(lines) or differs


def _admitted(
    hub: Cluster, space: str, name: str, document: dict[str, Any], before: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the object as the hub would hold it, by a dry run; its own rules are checked so."""
    wanted = {
        **document,
        "metadata": {**(document.get("metadata") or {}), "name": name, "namespace": space},
    }
    wanted.pop("status", None)
    try:
        if before is None:
            return hub.request("POST", deployment_path(space), _STRICT, wanted)
        told = {
            key: (before["metadata"].get(key) or {}) | (wanted["metadata"].get(key) or {})
            for key in ("labels", "annotations")
        }
        patch = [
            {"op": "add", "path": "/spec", "value": wanted["spec"]},
            *(
                {"op": "add", "path": f"/metadata/{key}", "value": value}
                for key, value in told.items()
                if value
            ),
        ]
        return hub.request("PATCH", deployment_path(space, name), _STRICT, patch, JSON_PATCH)
    except Refused as error:
        if error.status != 403 or "is forbidden" not in error.message:
            raise
        _say(f"  note: the hub's rules were not asked, only the schema: {error.message}")
    rest = before or {"metadata": {"uid": ""}}
    metadata = {**rest["metadata"], **wanted["metadata"]}
    return {**wanted, "metadata": metadata, "status": rest.get("status", {})}


def _drift(hub: Cluster, members: Members, space: str, name: str) -> bool:
    """Show what differs from what the operator wants; return whether anything."""
    found = hub.find(deployment_path(space, name))
    if found is None:
        raise Refused(404, f"there is no ModelDeployment {space}/{name}")
    _say(f"{space}/{name}")
    item = deployment(found)
    if item.deleting:
        raise click.ClickException(f"{space}/{name} is being deleted: nothing of it is wanted")
    then = _expected(hub, item)
    # Status says what is wanted now; what follows from the spec next is told above.
    shares = {
        cluster.name: held(item.status).get(cluster.name, 0) for cluster in item.status.clusters
    }
    return _in_members(hub, members, item, _Expected(then.fleet, item.status, shares, then.floors))


@dataclass(frozen=True)
class _Expected:
    """What the members should hold."""

    fleet: Fleet
    status: ModelDeploymentStatus
    shares: dict[str, int]
    floors: Mapping[str, int]


def _expected(hub: Cluster, item: Deployment) -> _Expected:
    """Show what the operator would decide, and return it."""
    if item.spec is None:
        raise click.ClickException(f"{item.namespace}/{item.name}: {item.invalid}")
    known = fleet(hub, item)
    now = datetime.datetime.now(datetime.UTC)
    then = outlook(item.namespace, item.uid, item.generation, item.spec, item.status, known, now)
    for key, text in then.lines:
        _say(f"  {key}: {text}")
    return _Expected(known, then.status, dict(then.shares), then.floors)


def _in_members(hub: Cluster, members: Members, item: Deployment, then: _Expected) -> bool:
    """Show what differs in every member that can be asked; return whether anything."""
    candidates = {each.name: each for each in then.fleet.candidates or ()}
    asked = {
        name: members.get(name, candidates[name].spec if name in candidates else None)
        for name in sorted(then.shares)
    }
    if unasked := [name for name, member in asked.items() if member is None]:
        names = ", ".join(unasked)
        _say(
            f"  note: objects in {names} are not compared: your kubeconfig is not asked about them; "
            f"--contexts {unasked[0]}=CONTEXT,... does that"
        )
    reached = {name: member for name, member in asked.items() if member is not None}
    if not reached:
        return False
    how = operator(hub)
    differs = False
    for name, member in reached.items():
        wanted = target(hub, name, item, then.status, tuple(sorted(then.shares)), how, candidates)
        seen = 0
        different = 0
        spot = candidates[name].spec.spot if name in candidates else None
        floors = least(member, wanted, name, then.floors.get(name))
        cluster = cluster_of(then.status, name)
        kept = (cluster.held_replicas or 0) if cluster else 0
        share = MemberTarget(name, max(then.shares[name], kept), spot, floors)
        for change in changes(member, wanted, share):
            seen += 1
            if lines := list(change.lines()):
                different += 1
                _print(lines)
        _say(
            f"  {name}: {different} of {seen} objects differ"
            if different
            else f"  {name}: as it should be, {seen} objects"
        )
        differs = differs or different > 0
    return differs


def _print(lines: list[str]) -> None:
    for line in lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.echo(click.style(line, fg=colour) if colour else line)


def _say(text: str) -> None:
    click.echo(text)
