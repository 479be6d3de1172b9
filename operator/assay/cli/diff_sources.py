"""What `assay diff` reads on the hub beside the ModelDeployment itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import pydantic

from assay.api import API_VERSION
from assay.api.conditions import ConditionStatus, ConditionType
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_cluster import ModelClusterSpec, ModelClusterStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.controller import settings
from assay.controller.hub import HISTORY, Deployment, deployment, field_error
from assay.controller.reservations import held
from assay.placement import Candidate
from assay.render.member import Target
from assay.render.naming import COMPONENT_LABEL, DEPLOYMENT_LABEL, revision_of
from assay.render.revision import follows_spec, pod_template, revision_hash
from assay.render.serving import stored_template

from .cluster import Cluster, Refused
from .diff_hub import Fleet

_SYSTEM = "assay-system"


@dataclass(frozen=True)
class Operator:
    """How the operator is set up; None where that may not be read."""

    origin: str | None
    settings: settings.Settings | None


def fleet(hub: Cluster, item: Deployment) -> Fleet:
    """Return the members as the hub knows them; says what may not be read. Raises `Refused`."""
    try:
        found = hub.request("GET", f"/apis/{API_VERSION}/modelclusters")["items"]
    except Refused as error:
        if error.status != 403:
            raise
        click.echo(f"  note: members are those of status, nothing is placed anew: {error.message}")
        return Fleet()
    candidates, away = [], set()
    for document in found:
        name = document["metadata"]["name"]
        try:
            spec = ModelClusterSpec.model_validate(document["spec"])
            status = ModelClusterStatus.model_validate(document.get("status") or {})
        except pydantic.ValidationError as error:
            click.echo(f"  note: ModelCluster {name}: {field_error(error)}")
            continue
        candidates.append(Candidate(name, document["metadata"].get("labels") or {}, spec))
        if not any(
            each.type == ConditionType.REACHABLE and each.status is ConditionStatus.TRUE
            for each in status.conditions
        ):
            away.add(name)
    return Fleet(tuple(candidates), frozenset(away), _taken(hub, item))


def _taken(hub: Cluster, item: Deployment) -> dict[str, int]:
    """Return what other ModelDeployments hold in the members."""
    try:
        found = hub.request("GET", f"/apis/{API_VERSION}/modeldeployments")["items"]
    except Refused as error:
        if error.status != 403:
            raise
        click.echo(f"  note: room that others take is not counted: {error.message}")
        return {}
    taken: dict[str, int] = {}
    for other in map(deployment, found):
        if other.key != item.key:
            for name, count in held(other.status).items():
                taken[name] = taken.get(name, 0) + count
    return taken


def operator(hub: Cluster) -> Operator:
    """Return what can be read of the operator's own settings. Raises `Refused`."""
    origin, found = None, None
    try:
        origin = hub.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
    except Refused as error:
        if error.status != 403:
            raise
    try:
        found = hub.find(f"/apis/apps/v1/namespaces/{_SYSTEM}/deployments/assay-operator")
    except Refused as error:
        if error.status != 403:
            raise
    if found is None:
        return Operator(origin, None)
    [container] = [
        each
        for each in found["spec"]["template"]["spec"]["containers"]
        if each["name"] == "operator"
    ]
    env = {each["name"]: each["value"] for each in container.get("env") or () if "value" in each}
    env.pop("ASSAY_ACCESS_PROVIDERS_FILE", None)
    return Operator(origin, settings.read({**env, "ASSAY_NAMESPACE": _SYSTEM}))


def target(
    hub: Cluster,
    member: str,
    item: Deployment,
    status: ModelDeploymentStatus,
    members: tuple[str, ...],
    how: Operator,
    candidates: Mapping[str, Candidate],
) -> Target:
    """Return what members are rendered from when `status` is what was decided.

    Raises `click.ClickException` if something of it may not be read.
    """
    if item.spec is None:
        raise AssertionError("checked before anything was decided")
    if how.origin is None or how.settings is None:
        raise click.ClickException(
            f"objects in member {member} cannot be compared: reading Namespace kube-system and "
            f"Deployment {_SYSTEM}/assay-operator on the hub is not allowed to you, or there is none"
        )
    return Target(
        name=item.name,
        namespace=item.namespace,
        uid=item.uid,
        origin=how.origin,
        spec=item.spec,
        status=status,
        templates=_templates(hub, item, item.spec, status, how.settings),
        keys="",
        feedback_urls={
            name: each.spec.feedback_url if (each := candidates.get(name)) else None
            for name in members
        },
        image=how.settings.server_image,
    )


def _templates(
    hub: Cluster,
    item: Deployment,
    spec: ModelDeploymentSpec,
    status: ModelDeploymentStatus,
    known: settings.Settings,
) -> dict[str, dict[str, Any]]:
    """Return the pod templates as the operator has them: stored ones rule (render.revision)."""
    path = f"/apis/apps/v1/namespaces/{item.namespace}/controllerrevisions"
    selector = f"{DEPLOYMENT_LABEL}={item.name},{COMPONENT_LABEL}={HISTORY}"
    found = hub.request("GET", path, {"labelSelector": selector})["items"]
    templates = {revision_of(each["metadata"]["name"]): stored_template(each) for each in found}
    revision = revision_hash(spec)
    if revision not in templates or follows_spec(status, revision):
        templates[revision] = pod_template(
            item.name, item.namespace, spec, revision, known.server_image, known.policy
        )
    return templates
