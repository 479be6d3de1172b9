"""Makes the decided status true: in the members, and as a record on the hub."""

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec, TrafficMode
from assay.members import receipts, resources
from assay.members.errors import ApiError, MemberError
from assay.members.member import Member
from assay.members.registry import Registry
from assay.placement import Plan
from assay.render.member import (
    MemberTarget,
    Target,
    kept_revisions,
    least_pods,
    mark,
    plan,
    traffic_plan,
)
from assay.render.revision import STRICT, Policy, follows_spec, pod_template, revision_hash
from assay.render.serving import stored_template
from assay.rollout.observation import LEAD_SECONDS, MemberView, Observation, PodsView
from assay.rollout.traffic import cluster_of, traffic_of, wanted_route

from .hub import Deployment, Hub
from .memory import Memory
from .reservations import Reservations
from .tombstones import Tombstones

ACT_SECONDS = 2.0
"""A look does not wait longer for members to take a plan; they go on, and wake us when done."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hands:
    """What is needed to act.

    Attributes
    ----------
    origin
        Identity of this hub.
    image
        The model server's default image.
    wake
        Called with a ModelDeployment's key when a late member has finished.
    policy
        What models may be and hold.
    tombstones
        Where deletions are recorded that a member has not followed.
    reservations
        What all ModelDeployments hold in the members.
    code
        Which program this is: another one may render other objects of the same.
    lead_seconds
        How long before it counts servers are told of a stratum.
    """

    hub: Hub
    members: Registry
    origin: str
    image: str
    wake: Callable[[str, str], None]
    tombstones: Tombstones
    policy: Policy = STRICT
    reservations: Reservations = field(default_factory=Reservations)
    code: str = ""
    lead_seconds: int = LEAD_SECONDS


async def record(
    hands: Hands, item: Deployment, memory: Memory, new: ModelDeploymentStatus
) -> None:
    """Write the templates that are due and, if it is worth it, status with its precondition."""
    if item.spec is not None:
        await _store_templates(hands, item, item.spec, memory, new)
    # Compared with what the hub holds, which a latched rollback is not.
    held = memory.last.status if memory.last else item.status
    if memory.worth_writing(held, new):
        memory.wrote(await hands.hub.write_status(item, new), new)


async def recall(
    hands: Hands,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    observed: Observation,
    status: ModelDeploymentStatus,
) -> None:
    """Store on the hub the templates that members keep of the revisions in `status`.

    So no pod of theirs is made anew by what this operator would render today.
    """
    stored = memory.templates if memory.templates is not None else {}
    members = _reachable(hands, (*observed.members, *observed.leaving))
    for revision in sorted(kept_revisions(spec, status) - stored.keys()):
        if template := await _from_members(item, revision, members):
            await hands.hub.store_template(item, revision, template)
            stored[revision] = template
    memory.templates = stored


async def act(
    hands: Hands,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    observed: Observation,
    status: ModelDeploymentStatus,
    moment: datetime.datetime,
    *,
    urgent: bool,
) -> bool:
    """Bring every reachable member to `status`, all at once; urgent: route first.

    Returns whether there was anything to do, or something is not known yet that a plan needs.

    Members that placement does not choose any more get their traffic right and nothing else. What
    fails is noted in `memory.failures` and shown by the next look.
    """
    members = _reachable(hands, observed.members)
    chosen = [view.name for view in observed.members]
    target = Target(
        name=item.name,
        namespace=item.namespace,
        uid=item.uid,
        origin=hands.origin,
        spec=spec,
        status=status,
        templates={},
        keys="",
        feedback_urls={
            name: member.spec.feedback_url if (member := hands.members.get(name)) else None
            for name in chosen
        },
        image=hands.image,
    )
    misrouted = [view for view in observed.leaving if _misrouted(view, status)]
    moved = _reachable(hands, misrouted)
    if urgent and _must_read(spec, memory, status, members):
        # Traffic first: reading may take long. The whole plan follows.
        moved += members
    running = {
        member.name: member.submit(*item.key, traffic_plan(target, member.name), urgent=urgent)
        for member in moved
    }
    now = moment.timestamp()
    # What one member holds and all have applied, all hold: after a start the others are not asked.
    is_proven = not urgent and all(_recorded(item.status, member) for member in members)
    try:
        if is_proven and memory.keys is None:
            await _read_keys(item, memory, members[:1])
        if not is_proven or memory.keys is None:
            await _have_keys(item, memory, members, now)
        templates = await _templates(hands, item, spec, memory, status, members)
        target = _with_keys(dataclasses.replace(target, templates=templates), memory, now)
        late = _late(hands, item, observed, target, members, urgent=urgent)
        if late and _unasked(memory, members):
            await _have_keys(item, memory, members, now)
            target = _with_keys(target, memory, now)
            late = _late(hands, item, observed, target, members, urgent=urgent)
    except (MemberError, ApiError) as error:
        if not urgent:
            raise
        # A rollback waits for nobody: what moves traffic is on its way, the rest is tried again.
        await _settle(hands, item, memory, running)
        memory.failures[""] = error.message
        return True
    if not late:
        memory.asked |= {member.name for member in members}
    running |= {
        # Servers that stamp strata by themselves stop to count for a trial that left them.
        member.name: member.submit(*item.key, traffic_plan(target, member.name), urgent=urgent)
        for member in _reachable(hands, misrouted)
        if target.keys and traffic_of(spec, status).mode is TrafficMode.REPLICAS
    }
    running |= {
        member.name: member.submit(*item.key, plan(target, wanted), made_of, urgent=urgent)
        for member, wanted, made_of in late
    }
    await _settle(hands, item, memory, running)
    applied = ((member.proof(*item.key), _recorded(status, member)) for member in members)
    memory.held_back |= any(proof and proof != recorded for proof, recorded in applied)
    return bool(running) or _must_read(spec, memory, status, members)


def _late(
    hands: Hands,
    item: Deployment,
    observed: Observation,
    target: Target,
    members: list[Member],
    *,
    urgent: bool,
) -> list[tuple[Member, MemberTarget, str]]:
    """Return the members that have to be written, what each is to have and what stands for that."""
    replicas, inputs = _replicas(observed, target.status), mark(target)
    floors = {view.name: _floors(view, target.status) for view in observed.members}
    found = []
    for member in members:
        name = member.name
        wanted = MemberTarget(name, replicas[name], member.spec.spot, floors[name])
        made_of = f"{hands.code} {inputs} {wanted}"
        proof = _recorded(item.status, member)
        if urgent or not member.has_applied(*item.key, made_of, proof):
            found.append((member, wanted, made_of))
    return found


def _recorded(status: ModelDeploymentStatus, member: Member) -> str | None:
    """Return what status says was applied in a member."""
    cluster = cluster_of(status, member.name)
    return cluster.applied if cluster else None


def _replicas(observed: Observation, status: ModelDeploymentStatus) -> dict[str, int]:
    """Return how many pods per revision each member runs now.

    While some member has not yet the pods that placement gives it, no other one is made smaller:
    what moves serves in its new place before it leaves the old one. Nor is one whose number was
    scaled by the load until just now: it is fixed where it is, and changed by the next look.
    """
    stable = status.stable.revision if status.stable else ""
    growing = any(
        _pods(view, stable).ready < view.wanted for view in observed.members if view.reachable
    )
    found = {}
    for view in observed.members:
        pods, cluster = _pods(view, stable), cluster_of(status, view.name)
        handed_back = view.floor is None and pods.least is not None
        held = (cluster.held_replicas if cluster else None) or 0
        serving = (cluster.revision if cluster else None) or stable
        # Of a winner there may be few yet: what it takes over from counts.
        served = max(pods.desired, _pods(view, serving).desired)
        present = served if growing or handed_back else 0
        found[view.name] = max(view.replicas, held, present)
    return found


def _floors(view: MemberView, status: ModelDeploymentStatus) -> dict[str, int]:
    """Return the least pods by revision of a member whose number of pods follows the load."""
    desired = {revision: pods.desired for revision, pods in view.revisions.items()}
    return least_pods(status, view.name, view.floor, desired)


def _reachable(hands: Hands, views: Iterable[MemberView]) -> list[Member]:
    found = (hands.members.get(view.name) for view in views if view.reachable)
    return [member for member in found if member]


def _misrouted(view: MemberView, status: ModelDeploymentStatus) -> bool:
    """Return whether a member that is being left routes otherwise than it should.

    One without a route is left alone: it is being cleaned.
    """
    return view.route is not None and view.route != wanted_route(status, view.name)


def _must_read(
    spec: ModelDeploymentSpec,
    memory: Memory,
    status: ModelDeploymentStatus,
    members: list[Member],
) -> bool:
    """Return whether a whole plan needs keys or templates that are not known yet."""
    known = {*(memory.templates or {}), revision_hash(spec)}
    needed = {ref.revision for ref in (status.stable, status.canary) if ref}
    return not needed <= known or bool(_unasked(memory, members))


async def leave(
    hands: Hands, item: Deployment, observed: Observation, status: ModelDeploymentStatus
) -> bool:
    """Remove the ModelDeployment from members that placement does not choose any more.

    Returns whether there are any.

    Not before stable serves in every chosen one: a selector with a typing error ends no service.
    Where the residency forbids it to be, it is removed as soon as stable serves in any.
    """
    stable = status.stable.revision if status.stable else ""
    chosen = {view.name for view in observed.members}
    settled = bool(chosen) and all(_serves(view, stable) for view in observed.members)
    answered = any(_answers(view, stable) for view in observed.members)
    placed = observed.plan or Plan({})
    forbidden = placed.forbidden if answered else frozenset[str]()
    going = [
        member
        for member in hands.members.all()
        if member.name not in chosen | placed.lost  # a lost one that answers again is no guest
        and (settled or member.name in forbidden)
        and member.state.reachable
        and member.holds(*item.key)
    ]
    for member in going:
        log.info("member %s is not chosen any more: removing what is there", member.name)
    # What a slow member does not do in time is tried again: it holds no trial up elsewhere.
    tasks = (asyncio.wait_for(member.remove(*item.key), ACT_SECONDS) for member in going)
    for member, result in zip(
        going, await asyncio.gather(*tasks, return_exceptions=True), strict=True
    ):
        if isinstance(result, (MemberError, ApiError, TimeoutError)):
            log.warning("member %s: %s", member.name, str(result) or "too slow, trying again")
        elif result is not None:
            raise result
    return bool(going)


def _pods(view: MemberView, revision: str) -> PodsView:
    return view.revisions.get(revision, PodsView(0, 0))


def _answers(view: MemberView, stable: str) -> bool:
    """Return whether a request that comes to the member has its answer."""
    return view.reachable and view.route is not None and _pods(view, stable).ready > 0


def _serves(view: MemberView, stable: str) -> bool:
    """Return whether the member has all the pods that placement gives it."""
    pods = _pods(view, stable)
    return _answers(view, stable) and pods.is_ready and pods.ready >= view.wanted


async def _settle(
    hands: Hands, item: Deployment, memory: Memory, running: Mapping[str, asyncio.Future[None]]
) -> None:
    done, late = set[asyncio.Future[None]](), set[asyncio.Future[None]]()
    if running:
        done, late = await asyncio.wait(running.values(), timeout=ACT_SECONDS)
    for future in late:
        future.add_done_callback(lambda _: hands.wake(*item.key))
    failures = {}
    for name, future in running.items():
        if future not in done or future.cancelled():
            continue
        error = future.exception()
        if isinstance(error, (MemberError, ApiError)):
            failures[name] = error.message
        elif error is not None:
            log.error("applying to member %s failed: %r", name, error)
            failures[name] = repr(error)
    for name in failures.keys() - memory.failures.keys():
        log.warning("member %s: %s", name, failures[name])
    memory.failures = failures


async def _have_keys(item: Deployment, memory: Memory, members: list[Member], now: float) -> None:
    """Read the receipt keys from members that were not asked yet; make them if there are none."""
    complete = await _read_keys(item, memory, members)
    if memory.keys is None and members:
        if not complete:
            raise MemberError(
                Reason.MEMBERS_UNREACHABLE, "the receipt keys could not be read from every member"
            )
        memory.keys = receipts.new_keys(now)


async def _read_keys(item: Deployment, memory: Memory, members: list[Member]) -> bool:
    """Read the receipt keys from members that were not asked yet; return whether all answered."""
    new = {
        member.name: member.session.api for member in _unasked(memory, members) if member.session
    }
    found, complete = await receipts.read_keys(new, *item.key)
    memory.keys = receipts.merge(filter(None, (memory.keys, found)))
    if complete:
        memory.asked |= new.keys()
    return complete


def _unasked(memory: Memory, members: list[Member]) -> list[Member]:
    return [member for member in members if member.name not in memory.asked]


def _with_keys(target: Target, memory: Memory, now: float) -> Target:
    """Return the target with the keys as they should be now."""
    if memory.keys is not None:
        window = target.spec.feedback.label_window_seconds
        memory.keys = receipts.rotated(memory.keys, now, window)
    return dataclasses.replace(target, keys=memory.keys or "")


async def _templates(
    hands: Hands,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    status: ModelDeploymentStatus,
    members: list[Member],
) -> dict[str, dict[str, Any]]:
    """Return the pod template of every revision that is known (render.revision, rule 3)."""
    templates = dict(memory.templates or {})
    current = revision_hash(spec)
    if current not in templates or follows_spec(status, current):
        templates[current] = _template(hands, item, spec, current)
    needed = {ref.revision for ref in (status.stable, status.canary) if ref}
    for revision in needed - templates.keys():
        if template := await _from_members(item, revision, members):
            templates[revision] = template
    return templates


def _template(
    hands: Hands, item: Deployment, spec: ModelDeploymentSpec, revision: str
) -> dict[str, Any]:
    return pod_template(item.name, item.namespace, spec, revision, hands.image, hands.policy)


async def _from_members(
    item: Deployment, revision: str, members: list[Member]
) -> dict[str, Any] | None:
    """Return a template that only members remember: the hub is new or lost it."""
    path = resources.path("ControllerRevision", item.namespace, f"{item.name}-{revision}")
    for member in members:
        session = member.session
        found = await session.api.find(path) if session else None
        if found:
            return stored_template(found)
    return None


async def _store_templates(
    hands: Hands,
    item: Deployment,
    spec: ModelDeploymentSpec,
    memory: Memory,
    status: ModelDeploymentStatus,
) -> None:
    """Keep the template of a revision that has been ready, drop those that nobody needs."""
    if memory.templates is None:
        memory.templates = await hands.hub.templates(item)
    current = revision_hash(spec)
    serving = {ref.revision for ref in (status.stable, status.canary) if ref}
    if current in serving and current not in memory.templates and not follows_spec(status, current):
        template = _template(hands, item, spec, current)
        await hands.hub.store_template(item, current, template)
        memory.templates[current] = template
    for revision in memory.templates.keys() - kept_revisions(spec, status) - {current}:
        await hands.hub.drop_template(item, revision)
        del memory.templates[revision]
