"""What `kubectl assay status` reads: the ModelDeployment, the prices of its members, and their pods."""

import contextlib
import datetime
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydantic

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.placement import Candidate
from assay.rollout.cost import Cost, cost

from . import bill_text
from .cluster import Refused
from .contexts import Members
from .hub import Hub, status_of
from .member_pods import Pods, read_pods
from .standing import HISTORY, Standing


class Look:
    """One look at a ModelDeployment on the hub, and at its pods in the members that were asked.

    Parameters
    ----------
    document
        The ModelDeployment.
    clusters, unreadable
        The ModelClusters, or None and why they cannot be read.
    pods
        By member; None if nobody was to be asked.
    at
        When it was.
    """

    def __init__(
        self,
        document: dict[str, Any],
        clusters: tuple[Candidate, ...] | None,
        unreadable: str | None,
        pods: dict[str, Pods] | None,
        at: datetime.datetime,
    ) -> None:
        self._document, self._status = document, status_of(document)
        self._clusters, self._unreadable, self._pods = clusters, unreadable, pods
        self.at = at
        self._spec: ModelDeploymentSpec | None = None
        with contextlib.suppress(pydantic.ValidationError):  # status tells the most
            self._spec = ModelDeploymentSpec.model_validate(document.get("spec") or {})

    def standing(self, now: datetime.datetime) -> Standing:
        """Return what the screen shows; `now` is for ages and the time that is left."""
        metadata = self._document["metadata"]
        costs, unknown = self._cost(now)
        lines = [("cost", unknown)] if unknown else []
        if costs and any(each.spec.cost is not None for each in self._clusters or ()):
            lines = [*cost_lines(costs, self._status), *_past_lines(costs, self._status)]
        return Standing(
            f"{metadata['namespace']}/{metadata['name']}",
            metadata.get("generation", 0),
            self._spec,
            self._status,
            now,
            {each.name: each.labels for each in self._clusters or ()},
            self._pods or {},
            tuple(lines),
        )

    def says(self) -> object:
        """Return what would be printed anew if it differed: neither ages nor times that are left."""
        return self._document["metadata"].get("generation", 0), self._status, self._pods

    def document(self) -> dict[str, Any]:
        """Return what programs read."""
        metadata = self._document["metadata"]
        costs, unknown = self._cost(self.at)
        answer = {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "generation": metadata.get("generation", 0),
            "status": self._document.get("status") or {},
            "cost": costs and report(costs),
            "costUnknown": unknown,
        }
        if self._pods is not None:
            answer["pods"] = {
                member: {
                    "problem": found.problem or None,
                    "pods": [each.document() for each in found.pods],
                }
                for member, found in self._pods.items()
            }
        return answer

    def _cost(self, now: datetime.datetime) -> tuple[Cost | None, str | None]:
        """Return what it costs, or why that is not known."""
        if self._clusters is None:
            return None, self._unreadable
        if self._spec is None:
            return None, "the spec cannot be read: this command is older than the operator"
        return cost(self._spec, self._status, self._clusters, now), None


def look(hub: Hub, members: Members | None) -> Look:
    """Read all that is shown. Raises `click.ClickException` if the ModelDeployment cannot be read."""
    document, status = hub.read()
    clusters, unreadable = None, None
    try:
        clusters = bill_text.clusters_on(hub.cluster)
    except Refused as error:
        unreadable = f"prices are not readable: {error.message}"
    pods = None if members is None else _pods(hub, members, status, clusters or ())
    now = datetime.datetime.now(datetime.UTC)
    return Look(document, clusters, unreadable, pods, now)


def _pods(
    hub: Hub, members: Members, status: ModelDeploymentStatus, clusters: tuple[Candidate, ...]
) -> dict[str, Pods]:
    specs = {each.name: each.spec for each in clusters}
    asked = {item.name: members.get(item.name, specs.get(item.name)) for item in status.clusters}
    reached = {name: member for name, member in asked.items() if member is not None}
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(lambda it: read_pods(it, hub.namespace, hub.name), reached.values())
        return dict(zip(reached, found, strict=True))


def report(costs: Cost) -> dict[str, Any]:
    """Shape what a deployment costs as the JSON that other programs rely on."""
    return {
        "pods": dict(costs.pods),
        "perHour": bill_text.report(costs.hour),
        "perMonth": bill_text.report(costs.month),
        "trial": None if costs.trial is None else bill_text.report(costs.trial),
        "past": {name: bill_text.report(bill) for name, bill in costs.past.items()},
    }


def cost_lines(costs: Cost, status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    """Say what a deployment costs."""
    count = sum(costs.pods.values())
    pods = "1 pod" if count == 1 else f"{count} pods"
    yield "cost per month", f"{bill_text.words(costs.month, by_member=True)}, {pods} now"
    rollout = status.rollout
    if costs.trial is not None and rollout is not None:
        so_far = " so far" if rollout.decision is None else ""
        yield f"cost of rollout {rollout.id}", f"{bill_text.words(costs.trial)}{so_far}"


def past_line(costs: Cost, rollout: str) -> tuple[str, str]:
    """Say what a rollout before the last one cost."""
    return f"cost of rollout {rollout}", bill_text.words(costs.past[rollout])


def _past_lines(costs: Cost, status: ModelDeploymentStatus) -> Iterator[tuple[str, str]]:
    present = status.rollout.id if status.rollout is not None else None
    for entry in status.history[:HISTORY]:
        if entry.id in costs.past and entry.id != present:
            yield past_line(costs, entry.id)
