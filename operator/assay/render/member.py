"""Everything that should exist in one member, as a function of spec and status alone.

Nothing here acts: `plan` says what should be, whoever applies it compares that with what is. So a
member that was away, a new one, and one in the middle of a promotion are all the same case.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_cluster import SpotNodes
from assay.api.model_deployment import ModelDeploymentSpec, TrafficMode
from assay.rollout import scaling
from assay.rollout.analysis import decided
from assay.rollout.sizing import wanted_pods
from assay.rollout.traffic import cluster_of, sticky_by, traffic_of, wanted_preview, wanted_route

from .entry import entry_service, told_to_servers
from .ledger import ledger_objects, receipts_secret
from .local import local
from .naming import Identity, Manifest
from .record import record
from .route import http_route, preview_route
from .serving import Range, RevisionObjects, revision_objects
from .sticky import sticky_policy


@dataclass(frozen=True)
class Target:
    """One ModelDeployment with all that its members need.

    Attributes
    ----------
    uid
        ``metadata.uid`` on the hub.
    origin
        UID of the hub's kube-system namespace.
    status
        The status that was decided now, not the one before.
    templates
        Pod templates by revision: the stored ones, but the fresh one while
        `revision.follows_spec`.
    keys
        Content of keys.json; empty: not known, and then there is no ledger in the plan.
    feedback_urls
        Where labels are sent, by member.
    image
        The operator's own server image, for the ledger.
    """

    name: str
    namespace: str
    uid: str
    origin: str
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    templates: Mapping[str, dict[str, Any]]
    keys: str
    feedback_urls: Mapping[str, str | None]
    image: str


@dataclass(frozen=True)
class MemberTarget:
    """One member.

    Attributes
    ----------
    replicas
        Pods of a whole revision; with `ModelDeploymentSpec.serving.autoscaling` the most of them.
    spot
        Its spot nodes if there are any.
    floors
        With autoscaling: the least pods by revision; one for those that are not named.
    """

    name: str
    replicas: int
    spot: SpotNodes | None = None
    floors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberPlan:
    """What should exist in one member, in the groups in which it is applied.

    A rollout goes forward as record, ledger, revisions, route or entry, preview, sticky, prune; back as
    route or entry, record, the rest. An entry for the pods of one revision comes before the revisions.
    Prune removes, among objects with labels ``assay.dev/deployment=<name>`` and
    ``app.kubernetes.io/component=server``, the ControllerRevisions whose revision is not in
    `keep_revisions` and the Deployments and Services whose revision is not in `run_revisions`.

    Attributes
    ----------
    revisions
        Those whose template is known, running ones first; what is only not removed has no pods here.
    route, entry
        What divides the traffic, one of both by its mode; the other is removed. Both are None while no
        revision is ready in the member; what is there already is left alone.
    keep_revisions, run_revisions
        What stays. Also names revisions whose template is not known: what is not known is not removed.
    preview, sticky
        The route of the preview hosts and the policy that keeps users; one that is there is removed
        if this is None.
    """

    record: Manifest
    ledger: tuple[Manifest, ...]
    revisions: tuple[RevisionObjects, ...]
    route: Manifest | None
    keep_revisions: frozenset[str]
    run_revisions: frozenset[str]
    preview: Manifest | None = None
    sticky: Manifest | None = None
    entry: Manifest | None = None

    @property
    def staying(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """The kinds that are pruned, in that order, each with the revisions that stay."""
        return (
            ("HorizontalPodAutoscaler", self.run_revisions),
            ("Deployment", self.run_revisions),
            ("Service", self.run_revisions),
            ("PodDisruptionBudget", self.run_revisions),
            ("ControllerRevision", self.keep_revisions),
        )


def mark(deployment: Target) -> str:
    """Return a text that differs whenever `plan` may, for one number of replicas; cheaper than it.

    What status says of evidence, conditions and pods is in no object. The same inputs give the same
    text in every process.
    """
    inputs = (
        deployment.uid,
        deployment.spec.model_dump_json(),
        decided(deployment.status).model_dump_json(),
        json.dumps(dict(deployment.templates), sort_keys=True),
        deployment.keys,
        json.dumps(dict(deployment.feedback_urls), sort_keys=True),
        deployment.image,
    )
    return hashlib.blake2b("\0".join(inputs).encode(), digest_size=16).hexdigest()


def plan(deployment: Target, member: MemberTarget) -> MemberPlan:
    """Return what should exist in `member`."""
    status = deployment.status
    identity = Identity(deployment.name, deployment.namespace, deployment.origin)
    keep = kept_revisions(deployment.spec, status)
    run = running_revisions(status, member.name)
    stay = staying_revisions(status, member.name)
    view = wanted_route(status, member.name)
    preview = wanted_preview(status, member.name)
    by = sticky_by(deployment.spec, status)
    traffic = traffic_of(deployment.spec, status)
    by_pods = traffic.mode is TrafficMode.REPLICAS
    version = None if view is None else _version(status, view.stable)
    where = local(deployment.spec.placement, member.name, member.spot)
    return MemberPlan(
        record=record(identity, deployment.uid, status, member.name),
        ledger=ledger_objects(
            identity,
            deployment.spec.feedback,
            deployment.keys,
            deployment.image,
            member.name,
            deployment.feedback_urls,
            told_to_servers(view.strata if view is not None else ()) if by_pods else None,
        )
        if deployment.keys
        else (),
        revisions=tuple(
            revision_objects(
                identity,
                revision,
                deployment.templates[revision],
                where,
                _pods(deployment, member, revision) if revision in run else None,
                _range(deployment.spec, member, revision),
            )
            for revision in (*sorted(run), *sorted((keep | stay) - run))
            if revision in deployment.templates
        ),
        route=None
        if view is None or by_pods
        else http_route(identity, traffic, view, version, deployment.spec.feedback.exposure),
        entry=None if view is None or not by_pods else entry_service(identity, view, version),
        preview=None if preview is None else preview_route(identity, traffic, preview),
        sticky=None if by is None else sticky_policy(identity, by),
        keep_revisions=keep | stay,
        run_revisions=stay,
    )


def traffic_plan(deployment: Target, member: str) -> MemberPlan:
    """Return the part of the plan that moves traffic; pods and ledger stay as they are.

    It needs neither templates nor keys, so a rollback waits for neither. It is all that is
    written to a member that placement does not choose any more. With keys, servers that stamp
    strata by themselves are told of the present one too.
    """
    found = plan(replace(deployment, templates={}, keys=""), MemberTarget(member, 0))
    if not deployment.keys or found.entry is None:
        return found
    view = wanted_route(deployment.status, member)
    strata = told_to_servers(view.strata if view is not None else ())
    identity = Identity(deployment.name, deployment.namespace, deployment.origin)
    secret = receipts_secret(identity, deployment.spec.feedback, deployment.keys, strata)
    return replace(found, ledger=(secret,))


def running_revisions(status: ModelDeploymentStatus, member: str) -> frozenset[str]:
    """Return the revisions whose pods are made in `member`: those that serve or may.

    A member that was away during a promotion still serves the revision before; that one keeps its
    pods there until the new one is ready. The canary comes with the member's wave.
    """
    names = {status.stable.revision} if status.stable is not None else set()
    cluster = cluster_of(status, member)
    if cluster is not None and cluster.revision is not None:
        names.add(cluster.revision)
    if cluster is not None and cluster.wave is not None and status.canary is not None:
        names.add(status.canary.revision)
    return frozenset(names)


def least_pods(
    status: ModelDeploymentStatus, member: str, floor: int | None, desired: Mapping[str, int]
) -> dict[str, int]:
    """Return the least pods of every revision that runs in `member`; empty if their number is fixed.

    Parameters
    ----------
    floor
        What placement gives the member at least; None: their number does not follow the load.
    desired
        Pods asked for there now, by revision.
    """
    if floor is None:
        return {}
    return scaling.floors(status, member, floor, desired, sorted(running_revisions(status, member)))


def staying_revisions(status: ModelDeploymentStatus, member: str) -> frozenset[str]:
    """Return the revisions whose pods are not removed from `member`.

    Retired ones stay where they are. They are not made: a canary that was rolled back in the first
    wave has no business in the others.
    """
    retired = {item.revision for item in status.retired_revisions}
    return running_revisions(status, member) | retired


def kept_revisions(spec: ModelDeploymentSpec, status: ModelDeploymentStatus) -> frozenset[str]:
    """Return the revisions whose ControllerRevision stays, on the hub and in the members."""
    names = {item.revision for item in (status.stable, status.canary) if item is not None}
    names |= {item.revision for item in status.retired_revisions}
    names |= {item.revision for item in status.rejected_revisions}
    names |= {item.revision for item in status.clusters if item.revision is not None}
    names |= {item.revision for item in status.history[: spec.revision_history_limit]}
    return frozenset(names)


def _pods(deployment: Target, member: MemberTarget, revision: str) -> int:
    """Return how many pods a revision has, or the most of them where they follow the load."""
    if deployment.spec.serving.autoscaling is not None:
        return member.replicas
    return wanted_pods(deployment.status, revision, member.replicas, member.name)


def _range(spec: ModelDeploymentSpec, member: MemberTarget, revision: str) -> Range | None:
    wanted = spec.serving.autoscaling
    if wanted is None:
        return None
    least = member.floors.get(revision, 1)
    return Range(least, member.replicas, wanted.target_cpu_utilization_percentage)


def _version(status: ModelDeploymentStatus, revision: str) -> str | None:
    known = (status.stable, status.canary, *status.history)
    return next((item.version for item in known if item and item.revision == revision), None)
