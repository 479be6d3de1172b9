"""A hub and three members of two providers in two regions, and what lasts from the first chapter to the last.

Two ModelDeployments serve all the time: `everywhere` in every member, `resident` in the region eu only.
Their clients never stop but where a member is about to be killed, and in the member outside of the
region a watch of every kind of object sees whatever comes there, at every moment.
"""

import contextlib
import functools
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

from typing_extensions import override

from assay.members import resources
from demo.artifacts import ArtifactServer
from demo.log import Failure, Log
from demo.manifests import NAMESPACE, Manifest
from demo.models import Artifact, Version, artifact
from demo.stage import Stage
from fleet import Fleet
from fleet.cluster import condition
from fleet.local import LocalFleet
from tests.e2e.trial import Trial, wait_until
from tests.e2e.witness import Witness, watched

CLUSTERS = ("hub", "aws-eu", "gcp-eu", "gcp-us")
"""The hub, then members by provider and region."""

RESIDENTS = ("aws-eu", "gcp-eu")
FORBIDDEN = "gcp-us"
"""Where no object of `resident` may ever be."""

EVERYWHERE: Mapping[str, object] = {
    "serving.replicas": 3,
    "placement.tolerationSeconds": 10,
}
RESIDENT: Mapping[str, object] = {
    "serving.replicas": 4,  # two in each member: one may be drained while the other serves
    "placement.tolerationSeconds": 10,
    "placement.residency": {"regions": ["eu"]},
}
RATES = {"everywhere": 30.0, "resident": 20.0}
"""Requests per second to each member."""

UNUSED = {"BackendTrafficPolicy", "HorizontalPodAutoscaler"}
"""Kinds that neither ModelDeployment asks for."""

KINDS = (*resources.OWNED, "ControllerRevision", "Pod", "PersistentVolumeClaim")


class WorldStage(Stage):
    """Members that say in which region of which provider they are."""

    @override
    def member_manifest(self, name: str) -> Manifest:
        manifest = super().member_manifest(name)
        provider, region = name.split("-")
        manifest["metadata"]["labels"] |= {"provider": provider, "region": region}
        manifest["spec"] |= {"provider": provider, "region": region}
        return manifest


class Kept(Trial):
    """A trial whose manifest is kept, as Git would keep it."""

    kept: Manifest

    @override
    def apply(self, artifact: Artifact, changes: Mapping[str, object] | None = None) -> None:
        self.kept = self.manifest(artifact, changes)
        self.stage.apply(self.kept)

    def ready_pods(self, member: str, revision: str) -> int:
        """The pods of a revision that are ready in a member, as its API server tells."""
        wanted = f"assay.dev%2Fdeployment%3D{self.name}%2Cassay.dev%2Frevision%3D{revision}"
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={wanted}"
        pods = self.stage.members[member].read(path)["items"]
        return sum(
            condition(pod, "Ready") for pod in pods if "deletionTimestamp" not in pod["metadata"]
        )


class World:
    """The two ModelDeployments, their clients and the watch of the forbidden member."""

    def __init__(self, fleet: Fleet, stage: Stage, store: ArtifactServer) -> None:
        self.fleet = fleet
        self.stage = stage
        self.everywhere = Kept(stage, store, "everywhere")
        self.resident = Kept(stage, store, "resident")
        self.outside: dict[str, Witness] = {}
        self._logs: list[Log] = []
        self._clients: dict[str, contextlib.ExitStack] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator["World"]:
        """Watch first, then start both versions 1 and their clients; end all of it afterwards."""
        with contextlib.ExitStack() as stack:
            for kind in KINDS:
                watch = watched(
                    self.stage.members[FORBIDDEN], NAMESPACE, kind, resources.DEPLOYMENT
                )
                self.outside[kind] = stack.enter_context(watch)
            for trial, changes in ((self.everywhere, EVERYWHERE), (self.resident, RESIDENT)):
                stack.callback(trial.delete)
                trial.start(artifact(Version.FIRST), changes)
            stack.callback(self._stop)  # first: threads of streams would keep the process
            for member in self.stage.members:
                self.ask(member)
            yield self

    def ask(self, member: str) -> None:
        """Begin a steady stream through a member's gateway to each ModelDeployment that serves there."""
        self._clients[member] = stack = contextlib.ExitStack()
        for trial in (self.everywhere, self.resident):
            if trial is self.everywhere or member in RESIDENTS:
                answers = functools.partial(self._answers, trial.name, member)
                wait_until(f"an answer of {trial.name} through {member}", answers)
                stream = stack.enter_context(trial.stream(RATES[trial.name], members=[member]))
                self._logs.append(stream.log)

    def leave(self, member: str) -> None:
        """End the streams through a member; what was asked is answered first."""
        self._clients.pop(member).close()

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return sum(log.requests for log in self._logs)

    @property
    def failures(self) -> list[Failure]:
        """Every request that failed so far."""
        return [failure for log in self._logs for failure in log.failures]

    def pods(self) -> dict[str, tuple[str, int]]:
        """Uid and restarts of every serving pod of both, by deployment, member and name."""
        return {
            f"{trial.name}/{place}": pod
            for trial in (self.everywhere, self.resident)
            for revision in sorted(self._revisions(trial))
            for place, pod in trial.pods(revision).items()
        }

    def lose_hub(self) -> None:
        """Destroy the hub's cluster, and make another one that is given the same manifests."""
        assert isinstance(self.fleet, LocalFleet), "clusters elsewhere cannot be destroyed"
        before = self._origin()
        self.fleet.make_anew(self.stage.hub.name)
        assert self._origin() != before
        self.stage.install()
        for trial in (self.everywhere, self.resident):
            self.stage.apply(trial.kept)

    def _stop(self) -> None:
        for member in list(self._clients):
            self.leave(member)

    def _origin(self) -> str:
        """What tells one hub from another."""
        uid: str = self.stage.hub.read("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        return uid

    def _revisions(self, trial: Trial) -> set[str]:
        found = self.stage.read(trial.name)
        assert found is not None
        return {
            item.revision for item in (found.status.stable, found.status.canary) if item is not None
        }

    def _answers(self, name: str, member: str) -> bool:
        try:
            url = f"{self.stage.members[member].gateway_url()}/v2/models/{name}"
            with urllib.request.urlopen(url, timeout=3) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
