"""Local fleets: making several clusters at once and removing them without a trace."""

from __future__ import annotations

import json
import signal
import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from fleet import (
    addons,
    images,
    imagestore,
    limits,
    network,
    nodes,
    packages,
    processes,
    programs,
    state,
)
from fleet.addresses import choose_block
from fleet.certificates import merge
from fleet.cluster import LocalCluster
from fleet.kubeapi import NotReadyError, wait_for
from fleet.progress import Silent
from fleet.state import FleetPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from fleet.cluster import Cluster
    from fleet.kubeapi import JsonObject
    from fleet.progress import Reporter
    from fleet.state import ClusterPlan

DEFAULT_NAME = "dev"
DEFAULT_CLUSTERS = ("hub", "east", "west")
READY_SECONDS = 240


@dataclass(frozen=True)
class Fleet(ABC):
    """Several clusters that are up and know of each other."""

    name: str

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        clusters: Sequence[str] = DEFAULT_CLUSTERS,
        *,
        addons: bool = True,
        scrape_interval: str = "1s",
        keep: bool = False,
        reporter: Reporter | None = None,
    ) -> Fleet:
        """Make a fleet and return it when everything in it is ready; take it as it is if it is up.

        Remains of an earlier run under the same name are removed first. If this fails, nothing
        stays behind.

        Parameters
        ----------
        name
            Of the fleet; at most 20 lower-case letters, digits and dashes, as the clusters'.
        clusters
            Names of the clusters; the first is the hub.
        addons
            False leaves out DNS, gateway, Prometheus, storage and our images.
        scrape_interval
            Of Prometheus.
        keep
            Leave a fleet that did not come up as it is, to look into.
        reporter
            What to tell about the progress.

        Raises
        ------
        UnsuitableMachineError
            Without Linux or root.
        StateError, AddressError, CommandError, ImageError, NotReadyError
            With what is in the way.
        """
        reporter = reporter or Silent()
        packages.check_machine()
        state.check_names(name, tuple(clusters))
        packages.install(reporter)
        limits.raise_limits()
        with _locked(name, reporter):
            found = state.read(name)
            if found is not None and _is_up(
                found, tuple(clusters), scrape_interval, with_addons=addons
            ):
                fleet = LocalFleet(name, found)
                fleet.load_images(reporter)
                reporter.note(f"fleet {name} is up already")
                return fleet
            prepared = _prepare(reporter, with_addons=addons)
            _remove(found, name, reporter)
            plan = _claim(name, tuple(clusters), scrape_interval, with_addons=addons)
            try:
                _create(plan, prepared, reporter)
            except BaseException:
                if not keep:
                    _remove(plan, name, reporter)
                raise
            state.write(plan.as_ready())
            return LocalFleet(name, plan.as_ready())

    @classmethod
    def load(cls, name: str = DEFAULT_NAME) -> Fleet:
        """Return a fleet that is up, a local one or one of contexts.

        Raises
        ------
        StateError
            If there is none with this name.
        """
        from fleet.contexts import ContextFleet

        plan = state.read(name)
        if plan is not None and plan.ready:
            return LocalFleet(name, plan)
        adopted = ContextFleet.find(name)
        if adopted is None:
            raise state.StateError(f"no fleet {name} is up; `fleet up --name {name}` makes it")
        return adopted

    @property
    @abstractmethod
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters by name; the first is the hub."""

    @property
    @abstractmethod
    def bridge_address(self) -> str:
        """Address of this machine that pods of every cluster reach."""

    @abstractmethod
    def load_images(self, reporter: Reporter | None = None) -> None:
        """Build our images from the sources as they are now and bring them into every cluster."""

    @abstractmethod
    def down(self, reporter: Reporter | None = None) -> None:
        """Remove the fleet with all that belongs to it."""

    def kubeconfig(self, only: str | None = None) -> str:
        """Return one kubeconfig for all clusters, or for one, with certificates inside."""
        chosen = [self.cluster(only)] if only else list(self.clusters.values())
        configs = [json.loads(item.kubeconfig.read_text()) for item in chosen]
        return json.dumps(merge(configs), indent=1)

    def cluster(self, name: str) -> Cluster:
        """Return the cluster with this name.

        Raises
        ------
        StateError
            If the fleet has none.
        """
        if name not in self.clusters:
            raise state.StateError(
                f"fleet {self.name} has no cluster {name}, only {', '.join(self.clusters)}"
            )
        return self.clusters[name]

    def helm(self, cluster_name: str, *args: str) -> str:
        """Run helm against one cluster and return what it prints."""
        return self.cluster(cluster_name).helm(*args)


@dataclass(frozen=True)
class LocalFleet(Fleet):
    """A fleet on this machine."""

    plan: FleetPlan

    @property
    @override
    def clusters(self) -> Mapping[str, LocalCluster]:
        return {plan.name: LocalCluster(plan) for plan in self.plan.cluster_plans}

    @property
    @override
    def bridge_address(self) -> str:
        return self.plan.network.bridge_address

    @override
    def load_images(self, reporter: Reporter | None = None) -> None:
        wanted = images.prepare(reporter or Silent(), addons=self.plan.addons)

        def bring(plan: ClusterPlan) -> None:
            imagestore.load(plan.containerd_socket, plan.directory / "containerd", wanted)

        with ThreadPoolExecutor() as pool:
            list(pool.map(bring, self.plan.cluster_plans))

    @override
    def down(self, reporter: Reporter | None = None) -> None:
        down(self.name, reporter)

    def make_anew(self, cluster: str, reporter: Reporter | None = None) -> None:
        """Destroy one cluster with all that it knew and make an empty one at the same addresses."""
        reporter = reporter or Silent()
        [item] = [one for one in self.plan.cluster_plans if one.name == self.cluster(cluster).name]
        with _locked(self.name, reporter):
            prepared = _prepare(reporter, with_addons=self.plan.addons)
            nodes.destroy(item)
            _start(self.plan, item, prepared, reporter, threading.Event())


def names() -> list[str]:
    """Return the names of all local fleets of this machine, also of those half made."""
    return [plan.name for plan in state.read_all()]


def down(name: str, reporter: Reporter | None = None) -> bool:
    """Remove a fleet or what is left of it; return whether there was anything to remove."""
    reporter = reporter or Silent()
    packages.check_machine()
    state.check_names(name, ("any",))
    with _locked(name, reporter):
        plan = state.read(name)
        return _remove(plan, name, reporter)


@dataclass(frozen=True)
class Prepared:
    """What is made once and kept in the cache."""

    store: Path
    gateway: tuple[list[JsonObject], list[JsonObject]] | None


def _prepare(reporter: Reporter, *, with_addons: bool) -> Prepared:
    programs.build(programs.ALL if with_addons else programs.CORE, reporter)
    wanted = images.prepare(reporter, addons=with_addons)
    store = imagestore.prepare(wanted, reporter)
    return Prepared(store, addons.prepare(reporter) if with_addons else None)


def _claim(
    name: str,
    clusters: tuple[str, ...],
    scrape_interval: str,
    *,
    with_addons: bool,
) -> FleetPlan:
    """Choose free addresses and write down the plan, before anything is made."""
    with state.locked(state.lock_of("addresses")):
        taken = {plan.block for plan in state.read_all()}
        block = choose_block(taken, network.networks_in_use())
        directory = state.directory_of(name)
        plan = FleetPlan(name, block, clusters, str(directory), with_addons, scrape_interval)
        state.check_paths(plan)
        state.write(plan)
        return plan


def _create(plan: FleetPlan, prepared: Prepared, reporter: Reporter) -> None:
    with reporter.step(f"start fleet {plan.name} ({', '.join(plan.clusters)})", 45):
        processes.remove_tree(state.directory_of(plan.name))
        network.create_bridge(plan)
        ending = threading.Event()
        with ThreadPoolExecutor(len(plan.clusters)) as pool:
            tasks = [
                pool.submit(_start, plan, item, prepared, reporter, ending)
                for item in plan.cluster_plans
            ]
            try:
                for task in as_completed(tasks):
                    task.result()
            except BaseException:
                ending.set()  # else the others would be waited for
                raise


def _start(
    plan: FleetPlan,
    item: ClusterPlan,
    prepared: Prepared,
    reporter: Reporter,
    ending: threading.Event,
) -> None:
    with reporter.step(f"{item.name}: API server", 15):
        process = nodes.start(plan, item, prepared.store)
        api = nodes.wait_for_api(item, process, ending)
    if prepared.gateway is not None:
        with reporter.step(f"{item.name}: create DNS, gateway, Prometheus, storage", 10):
            addons.install(api, item, plan.scrape_interval, prepared.gateway)
    with reporter.step(f"{item.name}: node", 10):
        wait_for(f"node {item.node} (Ready)", lambda: nodes.is_ready(api, item), READY_SECONDS)
    if prepared.gateway is None:
        return
    with reporter.step(f"{item.name}: everything ready", 25):
        missing: list[str] = []

        def check() -> bool:
            missing[:] = addons.waiting_for(api)
            return not missing

        try:
            wait_for("everything", check, READY_SECONDS, 0.3, ending)
        except NotReadyError as error:
            raise NotReadyError(f"{item.name}: {', '.join(missing)}: {error}") from None


def _remove(plan: FleetPlan | None, name: str, reporter: Reporter) -> bool:
    directory = state.directory_of(name)
    if plan is None:
        was_there = directory.exists()
        processes.remove_tree(directory)  # left by a machine that was restarted
        state.remove(name)
        return was_there
    with reporter.step(f"remove fleet {name}", 5):
        with ThreadPoolExecutor(len(plan.clusters)) as pool:
            list(pool.map(nodes.destroy, plan.cluster_plans))
        network.destroy_bridge(plan)
        processes.remove_tree(directory)
        state.remove(name)
    return True


def _is_up(
    plan: FleetPlan,
    clusters: tuple[str, ...],
    scrape_interval: str,
    *,
    with_addons: bool,
) -> bool:
    same = (plan.clusters, plan.addons, plan.scrape_interval) == (
        clusters,
        with_addons,
        scrape_interval,
    )
    return plan.ready and same and all(LocalCluster(item).alive() for item in plan.cluster_plans)


@contextmanager
def _locked(name: str, reporter: Reporter) -> Iterator[None]:
    """Let only one process at a time change a fleet; a request to end removes what was begun."""
    with (
        _termination_as_interrupt(),
        state.locked(
            state.fleet_lock(name),
            lambda pid: reporter.note(f"waiting for process {pid}, which works on fleet {name}"),
        ),
    ):
        yield


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that what was begun is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
