"""The operator and Argo Rollouts, one after the other, with as many rollouts on the same API server.

Run: ``python -m bench.scale.argo [--rollouts N] [--changes N]`` (Linux, root; a quarter of an hour). Argo
Rollouts is built from its Go module the first time, twenty minutes more. There is one API server
without nodes: the hub is its own only member, so that both controllers write to the same place, and
`simulated` says of the workloads of both that their pods are ready. Both keep ten pods of the same
template and step to 10 %, then to 50 %; Argo Rollouts divides by numbers of pods, Assay by a route.

Only one controller runs at a time. What is measured, all from outside of it:

- another number of replicas until the workload has it, and another version until the canary's
  workload asks for pods, at one and five changes a second, from before the user's patch is sent;
- what a change takes beyond what is taken at rest: CPU of the controller, of API server and etcd
  (answers of `simulated` and watches of ours among it), and writes, of which the user's patch and
  what `simulated` writes are no part;
- resident memory and CPU at rest, and a restart until as many looks were taken as there are rollouts.

The throttle of Argo Rollouts' client is raised until it limits nothing, and nothing is logged below
a warning on either side. Argo Rollouts elects no leader, for it never gives back its Lease and would
wait for it in a restart. Neither controller asks for metrics.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from assay.members import resources
from assay.members.api import Api
from bench.server.comparison import machine
from fleet import Cluster, programs
from fleet.programs import Program
from fleet.progress import Screen

from . import deployments
from .clusters import HUB, NAMESPACE, connect, control_plane_cpu_seconds, control_planes, writes
from .controller import Controller, Simulated, free_port
from .deployments import Applied, client, name_of
from .operator_load import (
    LONGEST_SECONDS,
    NOBODY,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    STEADY_SECONDS,
    desired,
    restarted,
    timed,
)

MODULE, VERSION = "github.com/argoproj/argo-rollouts", "v1.9.1"
PROGRAM = Program(
    "argo-rollouts",
    f"{MODULE}/cmd/rollouts-controller",
    seconds=1200,
    values=(f"{MODULE}/utils/version.version={VERSION.removeprefix('v')}",),
    sources=Path(__file__).parent / "programs",
)
THROTTLE = ("--rollout-threads=50", "--qps=1000", "--burst=2000")
"""As shipped: 10, 40 and 80."""

RATES = (1.0, 5.0)
REPLICAS = 10
ROLLOUTS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/rollouts"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
APP = "app"
NEW_IMAGE = "localhost/assay-server:bench-2"
NEW_MODEL = {"model": {"version": "2", "digest": "sha256:" + "2" * 64}}
CANARY = "canary with pods"
NOT_THEIRS = ("deployments/status", "leases", "replicasets/status", "statefulsets/status")
"""Writes of `simulated`, and those that go on whatever happens."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A number that was measured."""

    value: float
    unit: str

    @override
    def __str__(self) -> str:
        digits = 0 if self.value >= 100 else 1
        return f"{self.value:.{digits}f} {self.unit}".rstrip()


Column = dict[str, Figure]


@dataclass(frozen=True)
class Subject:
    """One of the two controllers.

    Attributes
    ----------
    collection, workloads
        Where its rollouts are, and the workloads that it makes of them.
    owner
        Label of a workload that names its rollout.
    name
        Name of the rollout with this number.
    create
        Makes the rollout with this number.
    ready, on_trial
        Whether a status says that all is as it should be, or that the canary is at its first step.
    scaled, renewed
        What a user merges into the spec for so many pods, and for another version.
    """

    title: str
    collection: str
    workloads: str
    owner: str
    start: Callable[[], Controller]
    name: Callable[[int], str]
    create: Callable[[Api, int], Any]
    ready: Callable[[Document], bool]
    on_trial: Callable[[Document], bool]
    scaled: Callable[[int], Document]
    renewed: Document

    def owner_of(self, workload: Document) -> str:
        """Return the name of the rollout that a workload belongs to."""
        return str(workload["metadata"]["labels"].get(self.owner, ""))


def assay(hub: Cluster, log: Path) -> Subject:
    """Return the operator, with ModelDeployments as in `operator_load`."""
    return Subject(
        "Assay",
        deployments.MODEL_DEPLOYMENTS,
        deployments.DEPLOYMENTS,
        resources.DEPLOYMENT,
        partial(Controller.start, hub, log, queries=False),
        name_of,
        lambda api, place: api.apply(deployments.manifest(place, REPLICAS)),
        deployments.is_ready,
        deployments.on_trial,
        lambda replicas: {"serving": {"replicas": replicas}},
        NEW_MODEL,
    )


def argo(hub: Cluster, log: Path, template: Document) -> Subject:
    """Return Argo Rollouts, with Rollouts whose pods have the given template."""

    def start() -> Controller:
        port = free_port()
        command = [
            str(PROGRAM.path),
            f"--kubeconfig={hub.kubeconfig}",
            "--leader-elect=false",
            "--loglevel=warn",
            f"--metricsPort={port}",
            f"--healthzPort={free_port()}",
            *THROTTLE,
        ]
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        return Controller(process, port, "rollout_reconcile_count")

    return Subject(
        "Argo Rollouts",
        ROLLOUTS,
        REPLICA_SETS,
        APP,
        start,
        rollout_name,
        lambda api, place: api.request("POST", ROLLOUTS, body=rollout(place, template), seconds=60),
        is_healthy,
        lambda status: is_current(status) and status.get("phase") == "Paused",
        lambda replicas: {"replicas": replicas},
        renewed(template),
    )


def rollout_name(place: int) -> str:
    """Return the name of one Rollout."""
    return f"rollout-{place:04d}"


def rollout(place: int, template: Document) -> Document:
    """Return the Rollout number `place`: a canary that waits at each step until somebody promotes it."""
    name = rollout_name(place)
    steps: list[Document] = []
    for weight in (10, 50):
        steps += [{"setWeight": weight}, {"pause": {}}]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": {APP: name}},
            "template": {"metadata": {"labels": {APP: name}}, "spec": template["spec"]},
            "strategy": {"canary": {"steps": steps}},
        },
    }


def renewed(template: Document) -> Document:
    """Return what is merged into a Rollout's spec for another image; a merge replaces whole lists."""
    first, *others = template["spec"]["containers"]
    return {"template": {"spec": {"containers": [{**first, "image": NEW_IMAGE}, *others]}}}


def is_current(status: Document) -> bool:
    """Whether a Rollout's status tells of its spec."""
    return status.get("observedGeneration") == str(status["generation"])


def is_healthy(status: Document) -> bool:
    """Whether all pods of a Rollout are as its spec says."""
    return is_current(status) and status.get("phase") == "Healthy"


def of_canaries(known: frozenset[str]) -> Callable[[Document], object]:
    """Mark workloads that are not `known` as soon as they ask for pods."""

    def mark_of(workload: Document) -> object:
        is_new = workload["metadata"]["name"] not in known
        return CANARY if is_new and desired(workload) else None

    return mark_of


def made(total: Counter[str], collection: str, changes: int) -> dict[str, float]:
    """Return the writes per change that are the controller's, by resource.

    Parameters
    ----------
    total
        All writes while `changes` objects in `collection` were patched once each.
    """
    own = Counter({what: count for what, count in total.items() if what not in NOT_THEIRS})
    own[collection.rpartition("/")[2]] -= changes
    return {what: count / changes for what, count in own.most_common() if count > 0}


def table(columns: Mapping[str, Column]) -> str:
    """Return a Markdown table of two columns, and how many times the second the first is."""
    (first, ours), (second, theirs) = columns.items()
    lines = [f"| | {first} | {second} | {first} / {second} |", "|---|---|---|---|"]
    for what, figure in ours.items():
        other = theirs[what]
        ratio = f"{figure.value / other.value:.2f}" if other.value else ""
        lines.append(f"| {what} | {figure} | {other} | {ratio} |")
    return "\n".join(lines)


class Turn:
    """One controller's turn on the API server."""

    def __init__(self, subject: Subject, cluster: Cluster, hub: Api, count: int) -> None:
        self._subject = subject
        self._cluster = cluster
        self._hub = hub
        self._count = count
        self._controller = subject.start()
        self._at_rest = 0.0, 0.0
        self.column: Column = {}

    async def run(self, changes: int) -> None:
        """Measure everything; the controller has ended afterwards."""
        try:
            await self._begin()
            names = [self._subject.name(place) for place in range(self._count)]
            for more, rate in enumerate(RATES, start=1):
                await self._scale(names[:changes], REPLICAS + more, rate)
            await asyncio.sleep(QUIET_SECONDS)
            self._controller, seconds = await restarted(
                self._controller, self._subject.start, self._count
            )
            self._add("restart until everything was looked at", seconds, "s")
            await asyncio.sleep(SETTLE_SECONDS)
            for place, rate in enumerate(RATES):
                await self._renew(names[place * changes : (place + 1) * changes], rate)
        finally:
            self._controller.stop()

    async def _begin(self) -> None:
        began = time.monotonic()
        subject = self._subject
        await deployments.all_of(
            [partial(subject.create, self._hub, place) for place in range(self._count)]
        )
        await deployments.until(
            self._hub, "ready", subject.ready, LONGEST_SECONDS, subject.collection
        )
        self._add("all ready since the first was applied", time.monotonic() - began, "s")
        await asyncio.sleep(QUIET_SECONDS)
        self._add("memory, everything known", self._controller.memory, "MiB")
        before = self._servers_cpu()
        own = await self._controller.share(STEADY_SECONDS)
        servers = (self._servers_cpu() - before) / STEADY_SECONDS
        self._at_rest = own, servers
        self._add("CPU when nothing happens", 100 * own, "% of a core")
        self._add("CPU of API server and etcd meanwhile", 100 * servers, "% of a core")

    async def _scale(self, names: Sequence[str], replicas: int, rate: float) -> None:
        store = Applied(desired, self._subject.owner_of)
        patch = self._subject.scaled(replicas)
        await self._change(f"replicas, {rate:g}/s", names, patch, rate, store, replicas)

    async def _renew(self, names: Sequence[str], rate: float) -> None:
        found = await self._hub.get(self._subject.workloads)
        known = frozenset(each["metadata"]["name"] for each in found["items"])
        store = Applied(of_canaries(known), self._subject.owner_of)
        patch = self._subject.renewed
        await self._change(f"version, {rate:g}/s", names, patch, rate, store, CANARY)
        statuses = await deployments.statuses(self._hub, self._subject.collection)
        reached = sum(map(self._subject.on_trial, statuses))
        print(f"  {reached} rollouts are at their first step", flush=True)

    async def _change(
        self,
        what: str,
        names: Sequence[str],
        patch: Document,
        rate: float,
        store: Applied,
        mark: object,
    ) -> None:
        collection = self._subject.collection

        async def change(place: int) -> None:
            await deployments.patch(self._hub, names[place], patch, collection)

        print(f"  load average {os.getloadavg()[0]:.1f}", flush=True)
        before, began = writes(self._cluster), time.monotonic()
        own, servers = self._controller.cpu_seconds, self._servers_cpu()
        taken = await timed(
            [self._hub], [store], names, mark, rate, change, self._subject.workloads
        )
        await asyncio.sleep(SETTLE_SECONDS)
        own, servers = self._controller.cpu_seconds - own, self._servers_cpu() - servers
        seconds = time.monotonic() - began
        by_kind = made(writes(self._cluster) - before, collection, len(names))
        cuts = statistics.quantiles(taken, n=100, method="inclusive")
        self._add(f"{what}: median", 1000 * cuts[49], "ms")
        self._add(f"{what}: p99", 1000 * cuts[98], "ms")
        for whose, total, rest in zip(
            ("controller", "API server and etcd"), (own, servers), self._at_rest, strict=True
        ):
            each = (total - rest * seconds) / len(names)
            self._add(f"{what}: CPU of a change, {whose}", 1000 * each, "ms")
        self._add(f"{what}: writes of a change", sum(by_kind.values()), "")
        print("   ", ", ".join(f"{kind} {count:.1f}" for kind, count in by_kind.items()))

    def _servers_cpu(self) -> float:
        return control_plane_cpu_seconds([self._cluster])

    def _add(self, what: str, value: float, unit: str) -> None:
        self.column[what] = Figure(value, unit)
        print(f"{self._subject.title:14} {what:60} {self.column[what]}", flush=True)


async def template_of_ours(hub: Api) -> Document:
    """Return the template of the pods of a ModelDeployment, without what is Assay's in its metadata."""
    found = await hub.get(
        deployments.DEPLOYMENTS, labelSelector=f"{resources.DEPLOYMENT}={name_of(0)}", limit="1"
    )
    (workload,) = found["items"]
    return {"spec": workload["spec"]["template"]["spec"]}


async def measure(cluster: Cluster, args: argparse.Namespace) -> dict[str, Column]:
    """Give each controller its turn."""
    hub, log = client(cluster), Path(args.log)
    simulated = Simulated.start([cluster])
    columns: dict[str, Column] = {}
    try:
        ours = assay(cluster, log)
        turn = Turn(ours, cluster, hub, args.rollouts)
        columns[ours.title] = turn.column
        await turn.run(args.changes)
        theirs = argo(cluster, log, await template_of_ours(hub))
        turn = Turn(theirs, cluster, hub, args.rollouts)
        columns[theirs.title] = turn.column
        await turn.run(args.changes)
    finally:
        simulated.stop()
        await hub.close()
    return columns


def kinds() -> list[Document]:
    """Return the resource definitions of Argo Rollouts, from its module."""
    directory = programs.module_directory(PROGRAM, MODULE) / "manifests" / "crds"
    return [yaml.safe_load(file.read_text()) for file in sorted(directory.glob("*-crd.yaml"))]


def main() -> None:
    """Measure, print, and write what came out as JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=100)
    parser.add_argument("--changes", type=int, default=50, help="at each rate")
    parser.add_argument("--log", default=str(Path(tempfile.gettempdir()) / "assay-argo.log"))
    parser.add_argument("--json", help="also write the figures to this file")
    args = parser.parse_args()
    if args.changes < 2 or len(RATES) * args.changes > args.rollouts:
        parser.error(
            f"--changes must be at least 2 and at most --rollouts / {len(RATES)}: no rollout gets "
            "a second version while it is on trial with the first"
        )
    with Screen() as screen:
        programs.build((PROGRAM,), screen)
    print(f"Argo Rollouts {VERSION}, {' '.join(THROTTLE)}; {machine.description()}", flush=True)
    with control_planes((HUB,)) as clusters:
        hub = clusters[HUB]
        hub.api().create(kinds())
        connect(hub, [hub], NOBODY)
        columns = asyncio.run(measure(hub, args))
    print(table(columns))
    if args.json:
        figures = {
            title: {what: [figure.value, figure.unit] for what, figure in column.items()}
            for title, column in columns.items()
        }
        Path(args.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
