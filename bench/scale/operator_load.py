"""The operator with a thousand ModelDeployments over three members, on real API servers without nodes.

Run: ``python -m bench.scale.operator_load [--deployments N] [--changes N]`` (Linux, root; about ten
minutes). Pods are not run: what Kubernetes would say of them is written by `simulated`. The peer in
the same run is a plain loop of server-side applies, which does the same writes and decides nothing.

What is measured, all from outside the operator's process:

- a change of ``replicas`` until the last member holds it, once, five and twenty times a second, and the
  same by the loop, with the CPU that it takes of the operator and of the API servers: where those
  need more than there is, a rate measures how long the queue is, and no operator would keep up;
- writes that the API servers answered per change;
- resident memory with everything known, CPU when nothing happens, CPU when every ModelDeployment has
  a canary on trial that is looked at every ten seconds (without asking Prometheus);
- a restart until everything was looked at again, and what was written in it.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from assay.members import resources
from assay.members.api import Api
from fleet import Cluster

from . import deployments
from .clusters import (
    HUB,
    NAMESPACE,
    connect,
    control_plane_cpu_seconds,
    control_planes,
    requests_written,
)
from .controller import Controller, Simulated
from .deployments import Applied, client, name_of

MEMBERS = ("one", "two", "three")
RATES = (1.0, 5.0, 20.0)
"""Changes per second: a quiet hub, a busy one, and the goal."""
STEADY_SECONDS = 60.0
SETTLE_SECONDS = 10.0
QUIET_SECONDS = 45.0
"""After that numbers and digests that waited half a minute to be written are written."""
LONGEST_SECONDS = 1800.0
LEASES_PER_SECOND = len(MEMBERS) / 8.0 + 0.2
"""Writes that go on whatever happens: a Lease per member, and the leader's."""
NOBODY = "http://127.0.0.1:9"
"""Where no Prometheus is."""


class Report:
    """Prints each result as it comes and keeps it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def add(self, what: str, value: str) -> None:
        """Add a result."""
        self.rows.append((what, value))
        print(f"{what:64} {value}", flush=True)


def quantiles(seconds: Sequence[float]) -> str:
    """Return the median and the 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms"


def desired(document: dict[str, object]) -> object:
    """Return the replicas of a Deployment."""
    spec = document["spec"]
    assert isinstance(spec, dict)
    return spec["replicas"]


async def paced(count: int, rate: float, job: Callable[[int], Awaitable[object]]) -> list[float]:
    """Start `job(place)` at `rate`, whatever became of those before; return when each started."""
    began, starts, tasks = time.monotonic(), [], []
    for place in range(count):
        await asyncio.sleep(max(0.0, began + place / rate - time.monotonic()))
        starts.append(time.monotonic())
        tasks.append(asyncio.ensure_future(job(place)))
    await asyncio.gather(*tasks)
    return starts


async def applied_everywhere(
    stores: Sequence[Applied], names: Sequence[str], mark: object, seconds: float = 120.0
) -> list[float]:
    """Return when the last member showed each Deployment with `mark`."""
    end = time.monotonic() + seconds
    while not all((name, mark) in store.seen for store in stores for name in names):
        if time.monotonic() > end:
            missing = sum((name, mark) not in store.seen for store in stores for name in names)
            raise TimeoutError(f"{missing} Deployments do not show {mark} after {seconds:g} s")
        await asyncio.sleep(0.05)
    return [max(store.seen[name, mark] for store in stores) for name in names]


async def timed(
    apis: Sequence[Api],
    stores: Sequence[Applied],
    names: Sequence[str],
    mark: object,
    rate: float,
    job: Callable[[int], Awaitable[object]],
    collection: str = deployments.DEPLOYMENTS,
) -> list[float]:
    """Return the seconds from the start of each `job` until the last cluster shows `mark` for its name."""
    watches = await deployments.watched(apis, stores, collection)
    try:
        starts = await paced(len(names), rate, job)
        ends = await applied_everywhere(stores, names, mark)
    finally:
        for task in watches:
            task.cancel()
    return [end - start for start, end in zip(starts, ends, strict=True)]


async def by_plain_applies(members: Sequence[Api], count: int, rate: float) -> list[float]:
    """Change Deployments of our shape by plain server-side applies; return the latencies."""
    found = await members[0].get(
        resources.path("Deployment", NAMESPACE), labelSelector=resources.MANAGED, limit="1"
    )
    (model,) = found["items"]
    plain = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": model["spec"]}
    labels = {"app.kubernetes.io/managed-by": "bench"}

    def document(place: int, replicas: int) -> dict[str, object]:
        metadata = {"name": f"plain-{place:04d}", "namespace": NAMESPACE, "labels": labels}
        return {**plain, "metadata": metadata, "spec": {**model["spec"], "replicas": replicas}}

    async def change(place: int) -> None:
        await asyncio.gather(*(api.apply(document(place, 2)) for api in members))

    await deployments.all_of(
        [partial(api.apply, document(place, 1)) for api in members for place in range(count)]
    )
    stores = [Applied(desired) for _ in members]
    names = [f"plain-{place:04d}" for place in range(count)]
    taken = await timed(members, stores, names, 2, rate, change)
    await deployments.all_of(
        [
            partial(api.delete, resources.path("Deployment", NAMESPACE, name))
            for api in members
            for name in names
        ]
    )
    return taken


async def by_the_operator(
    hub: Api, members: Sequence[Api], count: int, rate: float, replicas: int
) -> list[float]:
    """Give ModelDeployments so many ``replicas`` in each member; return the latencies."""
    stores = [Applied(desired) for _ in members]
    revision = {
        each["metadata"]["labels"][resources.DEPLOYMENT]: each["metadata"]["name"]
        for each in (
            await members[0].get(
                resources.path("Deployment", NAMESPACE), labelSelector=resources.MANAGED
            )
        )["items"]
    }
    wanted = {"serving": {"replicas": replicas * len(members)}}
    names = [revision[name_of(place)] for place in range(count)]

    async def change(place: int) -> None:
        await deployments.patch(hub, name_of(place), wanted)

    return await timed(members, stores, names, replicas, rate, change)


@dataclass
class Bench:
    """What all phases share.

    Attributes
    ----------
    clusters
        The hub and the members, by name.
    hub, members
        Clients of ours to them.
    count
        ModelDeployments.
    """

    clusters: dict[str, Cluster]
    hub: Api
    members: list[Api]
    controller: Controller
    report: Report
    count: int

    def written(self) -> int:
        """Return the writes that all API servers have answered."""
        return sum(requests_written(cluster) for cluster in self.clusters.values())

    def servers_cpu(self) -> float:
        """Return the CPU seconds that all API servers and etcds have taken."""
        return control_plane_cpu_seconds(self.clusters.values())

    async def share(self) -> str:
        """Return what the operator takes of a core in the next minute."""
        return f"{100 * await self.controller.share(STEADY_SECONDS):.1f} % of a core"


async def first(bench: Bench) -> None:
    """Apply everything; then let nothing happen."""
    began = time.monotonic()
    await deployments.create(bench.hub, range(bench.count), len(MEMBERS))
    await deployments.until(bench.hub, "ready", deployments.is_ready, LONGEST_SECONDS)
    bench.report.add("all ready since the first was applied", f"{time.monotonic() - began:.0f} s")
    await asyncio.sleep(QUIET_SECONDS)
    bench.report.add("memory, everything known", f"{bench.controller.memory:.0f} MiB")
    bench.report.add("CPU when nothing happens", await bench.share())


async def change(bench: Bench, changes: int) -> None:
    """Change ModelDeployments, and Deployments by the peer, at every rate."""
    for replicas, rate in enumerate(RATES, start=2):
        plain = await by_plain_applies(bench.members, changes, rate)
        bench.report.add(f"a change by plain applies, {rate:g}/s", quantiles(plain))
        await asyncio.sleep(SETTLE_SECONDS)
        before, began = bench.written(), time.monotonic()
        ours, servers = bench.controller.cpu_seconds, bench.servers_cpu()
        taken = await by_the_operator(bench.hub, bench.members, changes, rate, replicas)
        await asyncio.sleep(SETTLE_SECONDS)
        bench.report.add(f"a change by the operator, {rate:g}/s", quantiles(taken))
        ratio = statistics.median(taken) / statistics.median(plain)
        bench.report.add("  operator / plain applies, medians", f"{ratio:.1f}")
        # Each change is a write of ours and one of the simulated controllers in each member.
        made = bench.written() - before - changes * (1 + len(MEMBERS))
        made -= round((time.monotonic() - began) * LEASES_PER_SECOND)
        bench.report.add("  writes per change", f"{made / changes:.1f}")
        ours = (bench.controller.cpu_seconds - ours) / changes
        servers = (bench.servers_cpu() - servers) / changes
        cpu = f"operator {1000 * ours:.0f} ms, API servers and etcd {1000 * servers:.0f} ms"
        bench.report.add("  CPU per change", cpu)


async def restarted(
    controller: Controller, start: Callable[[], Controller], count: int
) -> tuple[Controller, float]:
    """Stop a controller and start it; return the new one and after how long it has taken `count` looks."""
    controller.stop()
    began = time.monotonic()
    controller = start()
    try:
        while (looks := controller.looks()) < count:
            if time.monotonic() - began > LONGEST_SECONDS or controller.process.poll() is not None:
                raise TimeoutError(f"{looks:.0f} of {count} looks after a restart")
            await asyncio.sleep(0.2)
    except BaseException:
        controller.stop()
        raise
    return controller, time.monotonic() - began


async def restart(bench: Bench, log: Path) -> None:
    """Stop the operator at rest and start it, until it has looked at everything."""
    await asyncio.sleep(QUIET_SECONDS)
    before = bench.written()
    start = partial(Controller.start, bench.clusters[HUB], log)
    bench.controller, seconds = await restarted(bench.controller, start, bench.count)
    bench.report.add("restart until everything was looked at", f"{seconds:.1f} s")
    await asyncio.sleep(SETTLE_SECONDS)
    bench.report.add("writes in a restart, Leases too", str(bench.written() - before))
    bench.report.add("memory after it", f"{bench.controller.memory:.0f} MiB")
    bench.report.add("CPU when nothing happens after it", await bench.share())


async def canaries(bench: Bench, log: Path) -> None:
    """Give each ModelDeployment a canary, and look at the operator while all are on trial."""
    bench.controller.stop()
    bench.controller = Controller.start(bench.clusters[HUB], log, queries=False)
    new = {"model": {"version": "2", "digest": "sha256:" + "2" * 64}}
    names = [name_of(place) for place in range(bench.count)]
    began = time.monotonic()
    await deployments.all_of([partial(deployments.patch, bench.hub, name, new) for name in names])
    await deployments.until(bench.hub, "on trial", deployments.on_trial, LONGEST_SECONDS)
    bench.report.add("all on trial since the first change", f"{time.monotonic() - began:.0f} s")
    await asyncio.sleep(2 * QUIET_SECONDS)
    before, looks = bench.written(), bench.controller.looks()
    bench.report.add("CPU when each has a canary, no queries", await bench.share())
    looked = bench.controller.looks() - looks
    bench.report.add("looks per second meanwhile", f"{looked / STEADY_SECONDS:.0f}")
    written = bench.written() - before
    bench.report.add("writes per second meanwhile", f"{written / STEADY_SECONDS:.1f}")
    bench.report.add("memory, each with a canary", f"{bench.controller.memory:.0f} MiB")


async def measure(clusters: dict[str, Cluster], args: argparse.Namespace, report: Report) -> None:
    """Go through all phases; every process that was started ends."""
    log = Path(args.log)
    members = [clusters[name] for name in MEMBERS]
    bench = Bench(
        clusters,
        client(clusters[HUB]),
        list(map(client, members)),
        Controller.start(clusters[HUB], log),
        report,
        args.deployments,
    )
    simulated = Simulated.start(members)
    try:
        await first(bench)
        if args.changes:
            await change(bench, args.changes)
        await restart(bench, log)
        if args.changes:
            await canaries(bench, log)
    finally:
        bench.controller.stop()
        simulated.stop()
        for api in (bench.hub, *bench.members):
            await api.close()


def main() -> None:
    """Measure, print, and write what came out as JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--deployments", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=200, help="0: nothing but a restart")
    parser.add_argument("--log", default=str(Path(tempfile.gettempdir()) / "assay-scale.log"))
    parser.add_argument("--json", help="also write the rows to this file")
    args = parser.parse_args()
    if args.changes > args.deployments:
        parser.error("--changes must not be more than --deployments")
    report = Report()
    with control_planes(MEMBERS) as clusters:
        connect(clusters[HUB], [clusters[name] for name in MEMBERS], NOBODY)
        asyncio.run(measure(clusters, args, report))
    if args.json:
        Path(args.json).write_text(json.dumps(dict(report.rows), indent=1))


if __name__ == "__main__":
    main()
