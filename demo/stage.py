"""Assay on running clusters: installed by its chart, members connected, objects applied and read.

The demo and the end-to-end tests build on this. Everything waits on what the API servers say,
never for a fixed time.
"""

import concurrent.futures
import json
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.model_deployment import ModelDeploymentSpec
from assay.evidence.prometheus import Connection
from demo.manifests import NAMESPACE, Manifest, cluster_manifest, secret_name
from demo.stream import Target
from fleet import Cluster
from fleet.kubeapi import KubeApi
from fleet.processes import CommandError, run

CHART = Path(__file__).resolve().parent.parent / "charts" / "assay"
SYSTEM = "assay-system"
RELEASE = "assay"
MEMBER_RELEASE = "assay-member"
OPERATOR_IMAGE = "localhost/assay-operator:dev"
SERVER_IMAGE = "localhost/assay-server:dev"
STRATUM_LEAD_SECONDS = 40
"""Kubelets of the fleet bring a changed Secret to its pods in some 15 s."""
_PAUSE_SECONDS = 0.25

Note = Callable[[str], None]


class StageError(Exception):
    """Something did not come in time; the message says what and how things stood."""


@dataclass(frozen=True)
class Observed:
    """A ModelDeployment as the hub holds it."""

    generation: int
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Return (status, reason, message) of a condition; ``Absent`` as status if not there."""
        for item in self.status.conditions:
            if item.type == kind:
                return item.status.value, item.reason, item.message
        return "Absent", "", ""

    @property
    def is_ready(self) -> bool:
        """Whether what this generation of the spec asks for serves everywhere."""
        current = self.status.observed_generation == self.generation
        return current and self.condition("Ready")[0] == "True"


@dataclass(frozen=True)
class Happened:
    """A Kubernetes Event about a ModelDeployment."""

    at: str
    kind: str
    reason: str
    message: str


class Stage:
    """A hub and its members with Assay on them.

    Parameters
    ----------
    hub
        Where the operator and the ModelDeployments are.
    members
        The clusters that serve, by name.
    operator_image, server_image
        ``repository:tag``; a local fleet has its own.
    scrape_interval_seconds
        Of the members' Prometheus.
    """

    def __init__(
        self,
        hub: Cluster,
        members: Mapping[str, Cluster],
        *,
        operator_image: str = OPERATOR_IMAGE,
        server_image: str = SERVER_IMAGE,
        scrape_interval_seconds: int = 1,
    ) -> None:
        self.hub = hub
        self.members = dict(members)
        self.scrape_interval_seconds = scrape_interval_seconds
        self._operator_image = operator_image
        self._server_image = server_image
        self._api: KubeApi | None = None

    @property
    def api(self) -> KubeApi:
        """Connection to the API server of a local fleet's hub, for one thread."""
        if self._api is None:
            self._api = self.hub.api()
        return self._api

    def install(self, note: Note = lambda _: None, *settings: str) -> None:
        """Install the operator on the hub and the member role on every member; connect them.

        Returns when every ModelCluster is Reachable. May be called again: it upgrades. `settings` are
        values of the hub's chart, ``name=value``.
        """
        with concurrent.futures.ThreadPoolExecutor() as pool:
            operator = pool.submit(self.install_operator, CHART, *settings)
            accounts = {name: pool.submit(self.install_member, name) for name in self.members}
            kubeconfigs = {name: account.result() for name, account in accounts.items()}
            note("members have an account for the operator")
            operator.result()
        note("operator installed on the hub")
        for name, kubeconfig in kubeconfigs.items():
            self._apply(_secret(secret_name(name), kubeconfig))
            self._apply(self.member_manifest(name))
        for name in self.members:
            self.wait_for_cluster(name)
        note(f"members reachable: {', '.join(self.members)}")

    def member_manifest(self, name: str) -> Manifest:
        """Return the ModelCluster of a member."""
        return cluster_manifest(name, self.scrape_interval_seconds)

    def uninstall(self) -> None:
        """Delete our ModelDeployments and ModelClusters, members cleaned first, and remove Assay.

        The CustomResourceDefinitions stay, as the chart leaves them.
        """
        deployments = ("mdep", "--all", "-n", NAMESPACE)
        clusters = ("modelclusters", "--ignore-not-found", *self.members)
        names = [secret_name(member) for member in self.members]
        secrets = ("secrets", "--ignore-not-found", *names, "-n", SYSTEM)
        for what in (deployments, clusters, secrets):
            with suppress(CommandError):  # the kinds may never have been installed
                self.hub.kubectl("delete", *what, "--wait", "--timeout=120s")
        self.hub.helm("uninstall", RELEASE, "-n", SYSTEM, "--wait", "--ignore-not-found")
        for cluster in self.members.values():
            cluster.helm("uninstall", MEMBER_RELEASE, "-n", SYSTEM, "--ignore-not-found")

    def apply(self, manifest: Manifest) -> None:
        """Apply a manifest on the hub as a user does.

        Raises
        ------
        fleet.processes.CommandError
            With what the API server says against it.
        """
        self._apply(manifest)

    def delete(self, name: str, namespace: str = NAMESPACE, *, wait: bool = True) -> None:
        """Delete a ModelDeployment."""
        self.hub.kubectl(
            "delete", "mdep", name, "-n", namespace, "--ignore-not-found", f"--wait={wait}".lower()
        )

    def read(self, name: str, namespace: str = NAMESPACE) -> Observed | None:
        """Return a ModelDeployment as it is now; None if there is none."""
        path = f"/apis/assay.dev/v1alpha1/namespaces/{namespace}/modeldeployments"
        found = self._find(path, name)
        if found is None:
            return None
        return Observed(
            found["metadata"]["generation"],
            ModelDeploymentSpec.model_validate(found["spec"]),
            ModelDeploymentStatus.model_validate(found.get("status", {})),
        )

    def events(self, name: str, namespace: str = NAMESPACE) -> list[Happened]:
        """Return the events about a ModelDeployment, oldest first."""
        query = f"fieldSelector=involvedObject.name%3D{name}"
        found = self.hub.read(f"/api/v1/namespaces/{namespace}/events?{query}")
        events = [
            Happened(
                item.get("eventTime") or item.get("lastTimestamp") or "",
                item.get("type", ""),
                item.get("reason", ""),
                item.get("message", ""),
            )
            for item in found["items"]
        ]
        return sorted(events, key=lambda event: event.at)

    def wait_for(
        self,
        what: str,
        name: str,
        holds: Callable[[Observed], bool],
        *,
        seconds: float = 120.0,
        namespace: str = NAMESPACE,
    ) -> Observed:
        """Return the ModelDeployment as soon as `holds` is true of it.

        Raises
        ------
        StageError
            After so many seconds, with the conditions as they stood.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.read(name, namespace)
            if found is not None and holds(found):
                return found
            if time.monotonic() > deadline:
                raise StageError(f"{what} did not come in {seconds:.0f} s: {describe(found)}")
            time.sleep(_PAUSE_SECONDS)

    def wait_for_cluster(self, name: str, seconds: float = 120.0) -> None:
        """Wait until a ModelCluster is Reachable. Raises StageError with its condition if not."""
        deadline = time.monotonic() + seconds
        while True:
            found = self._find("/apis/assay.dev/v1alpha1/modelclusters", name) or {}
            conditions = found.get("status", {}).get("conditions", [])
            named = {item["type"]: item for item in conditions}
            reachable = named.get("Reachable", {})
            if reachable.get("status") == "True":
                return
            if time.monotonic() > deadline:
                raise StageError(
                    f"ModelCluster {name} is not Reachable after {seconds:.0f} s: "
                    f"{reachable.get('reason', 'no condition yet')} {reachable.get('message', '')}"
                )
            time.sleep(_PAUSE_SECONDS)

    def targets(
        self, name: str, namespace: str = NAMESPACE, *, members: Collection[str] | None = None
    ) -> list[Target]:
        """Return where clients send predictions and labels, for each of `members` (all)."""
        return [
            Target(
                member,
                cluster.gateway_url(),
                cluster.service_url(namespace, f"{name}-ledger", 80),
            )
            for member, cluster in self.members.items()
            if members is None or member in members
        ]

    def prometheus(self) -> dict[str, Connection]:
        """Return a connection to each member's Prometheus."""
        return {
            member: Connection(cluster.prometheus_url(), timeout_seconds=3.0)
            for member, cluster in self.members.items()
        }

    def operator_log(self, lines: int = 40) -> str:
        """Return the operator's pods and the ends of their logs, or why there are none."""
        pods = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=operator")
        parts = []
        for words in (("get", "pods", *pods), ("logs", *pods, f"--tail={lines}")):
            try:
                parts.append(self.hub.kubectl(*words))
            except CommandError as error:
                parts.append(str(error))
        return "\n".join(parts)

    def install_operator(self, chart: Path = CHART, *settings: str) -> None:
        """Install or upgrade the operator; `settings` are further values, ``name=value``."""
        repository, _, tag = self._operator_image.rpartition(":")
        self.hub.helm(
            *("upgrade", "--install", RELEASE, str(chart), "-n", SYSTEM, "--create-namespace"),
            *("--set", f"operator.image.repository={repository},operator.image.tag={tag}"),
            *("--set", f"operator.serverImage={self._server_image}"),
            *("--set", f"operator.stratumLeadSeconds={STRATUM_LEAD_SECONDS}"),
            # The tag stays when the image is built anew: an annotation makes pods of the new one.
            *("--set-string", f"operator.podAnnotations.demo/installed=t{time.time_ns()}"),
            *(word for setting in settings for word in ("--set", setting)),
            # Somebody may have applied crds/ by kubectl before; the chart's are the same.
            *("--take-ownership", "--force-conflicts"),
            *("--wait", "--timeout", "120s"),
        )

    def install_member(self, name: str, chart: Path = CHART) -> str:
        """Install or upgrade the chart in a member; return the kubeconfig of the account that it makes."""
        cluster = self.members[name]
        cluster.helm(
            *("upgrade", "--install", MEMBER_RELEASE, str(chart), "-n", SYSTEM),
            *("--create-namespace", "--set", f"role=member,member.namespaces={{{NAMESPACE}}}"),
        )
        return member_kubeconfig(cluster)

    def _find(self, collection: str, name: str) -> dict[str, Any] | None:
        """Return the hub's object with this name; None if there is none."""
        items = self.hub.read(f"{collection}?fieldSelector=metadata.name%3D{name}")["items"]
        found: dict[str, Any] | None = items[0] if items else None
        return found

    def _apply(self, manifest: Manifest) -> None:
        self.hub.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest))


def member_kubeconfig(cluster: Cluster, seconds: float = 30.0) -> str:
    """Return what `assay member-kubeconfig` makes of the account in a member.

    Raises
    ------
    StageError
        If the member makes no token in time.
    """
    command: list[str | Path] = [
        Path(sys.executable).with_name("assay"),
        "member-kubeconfig",
        f"--kubeconfig={cluster.kubeconfig}",
    ]
    deadline = time.monotonic() + seconds
    while True:
        try:
            return run(command)
        except CommandError as error:
            if time.monotonic() > deadline:
                raise StageError(f"{cluster.name}: {error}") from error
            time.sleep(_PAUSE_SECONDS)


def describe(found: Observed | None) -> str:
    """Return how a ModelDeployment stands, in one line for an error message."""
    if found is None:
        return "it does not exist"
    status = found.status
    stage = status.rollout.stage.value if status.rollout else "none"
    conditions = "; ".join(
        f"{item.type}={item.status.value} {item.reason} {item.message}".strip()
        for item in status.conditions
    )
    return f"stage {stage}; {conditions or 'no conditions yet'}"


def _secret(name: str, kubeconfig: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "stringData": {"kubeconfig": kubeconfig},
    }
