"""Handles on clusters: what tests and people do with a cluster of a fleet."""

from __future__ import annotations

import json
import os
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from fleet import cgroups, network, processes, programs
from fleet.errors import FleetError
from fleet.kubeapi import JsonObject, KubeApi
from fleet.processes import run

if TYPE_CHECKING:
    from pathlib import Path

    from fleet.state import ClusterPlan

GATEWAY_NAMESPACE, GATEWAY = "ml", "models"
DYING_SECONDS = 20.0
PROMETHEUS_NAMESPACE, PROMETHEUS, PROMETHEUS_PORT = "monitoring", "prometheus", 9090


class Cluster(ABC):
    """A cluster of a fleet, wherever it runs."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name within the fleet."""

    @property
    @abstractmethod
    def context(self) -> str:
        """Name of its context in kubeconfigs."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """Kubeconfig with this context only, as the current one."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Address of the API server's host."""

    @property
    @abstractmethod
    def kubectl_program(self) -> Path:
        """The kubectl that is used."""

    @property
    @abstractmethod
    def helm_program(self) -> Path:
        """The helm that is used."""

    @abstractmethod
    def service_url(self, namespace: str, service: str, port: int) -> str:
        """Return the URL of a Service as this machine reaches it."""

    @abstractmethod
    def gateway_url(self, namespace: str = GATEWAY_NAMESPACE, name: str = GATEWAY) -> str:
        """Return the URL of a Gateway's first listener as this machine reaches it.

        Raises
        ------
        LookupError
            If the Gateway has no address yet.
        """

    @abstractmethod
    def read(self, path: str) -> JsonObject:
        """Return what the API server answers to a GET of this path."""

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - subprocess's word
        """Run kubectl and return what it prints.

        Raises
        ------
        CommandError
            If kubectl fails; the message holds what it said.
        """
        return run([self.kubectl_program, f"--kubeconfig={self.kubeconfig}", *args], stdin=input)

    def helm(self, *args: str) -> str:
        """Run helm and return what it prints."""
        return run([self.helm_program, f"--kubeconfig={self.kubeconfig}", *args])

    def prometheus_url(self) -> str:
        """Return the URL of the cluster's Prometheus as this machine reaches it."""
        return self.service_url(PROMETHEUS_NAMESPACE, PROMETHEUS, PROMETHEUS_PORT)

    @property
    def netns(self) -> str:
        """Name of the network namespace (in ``/run/netns``)."""
        raise self._not_local()

    def api(self) -> KubeApi:
        """Open a connection to the API server."""
        raise self._not_local()

    def alive(self) -> bool:
        """Tell whether the cluster's processes run."""
        raise self._not_local()

    def disconnect(self) -> None:
        """Pull the cluster's cable: nobody outside reaches it until :meth:`connect`."""
        raise self._not_local()

    def connect(self) -> None:
        """Plug the cluster's cable in again."""
        raise self._not_local()

    def stop(self, program: str) -> None:
        """Kill a program of the cluster (``kube-apiserver``, ``etcd``, ...) and keep it down."""
        raise self._not_local()

    def start(self, program: str) -> None:
        """Start a stopped program again."""
        raise self._not_local()

    def cut_power(self) -> None:
        """Pull the cable and kill every process at once, pods too, until :meth:`restore_power`."""
        raise self._not_local()

    def restore_power(self) -> None:
        """Plug the cable in and start everything from what is on disk."""
        raise self._not_local()

    def _not_local(self) -> FleetError:
        return FleetError(f"{self.context} is no local cluster: its machine cannot be touched")

    def _gateway_address(self, namespace: str, name: str) -> tuple[str, int]:
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways/{name}"
        gateway = self.read(path)
        addresses = gateway.get("status", {}).get("addresses", [])
        if not addresses:
            raise LookupError(f"Gateway {namespace}/{name} of {self.context} has no address")
        return addresses[0]["value"], gateway["spec"]["listeners"][0]["port"]


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """A cluster of a local fleet; it may be up or not.

    Its pods, Services and API server are reached from the host and from pods of every other cluster
    of the fleet.
    """

    plan: ClusterPlan

    @property
    @override
    def name(self) -> str:
        return self.plan.name

    @property
    @override
    def context(self) -> str:
        return f"{self.plan.fleet}-{self.plan.name}"

    @property
    @override
    def kubeconfig(self) -> Path:
        return self.plan.kubeconfig

    @property
    @override
    def address(self) -> str:
        return self.plan.network.node_address

    @property
    @override
    def kubectl_program(self) -> Path:
        return programs.HYPER.directory / "kubectl"

    @property
    @override
    def helm_program(self) -> Path:
        return programs.HELM.path

    @property
    @override
    def netns(self) -> str:
        return self.plan.full_name

    @override
    def api(self) -> KubeApi:
        return KubeApi(self.kubeconfig)

    @override
    def read(self, path: str) -> JsonObject:
        return self.api().get(path)

    @override
    def gateway_url(self, namespace: str = GATEWAY_NAMESPACE, name: str = GATEWAY) -> str:
        address, port = self._gateway_address(namespace, name)
        return f"http://{address}:{port}"

    @override
    def service_url(self, namespace: str, service: str, port: int) -> str:
        found = self.read(f"/api/v1/namespaces/{namespace}/services/{service}")
        return f"http://{found['spec']['clusterIP']}:{port}"

    @override
    def disconnect(self) -> None:
        network.set_connected(self.plan, connected=False)

    @override
    def connect(self) -> None:
        network.set_connected(self.plan, connected=True)

    @override
    def stop(self, program: str) -> None:
        self._marker(program).touch()
        self._wake_supervisor()

    @override
    def start(self, program: str) -> None:
        self._marker(program).unlink(missing_ok=True)
        self._wake_supervisor()

    @override
    def cut_power(self) -> None:
        self.disconnect()
        for program in self._programs():
            self._marker(program).touch()
        self._wake_supervisor()
        end = time.monotonic() + DYING_SECONDS
        while left := cgroups.others(self.plan.full_name):
            if time.monotonic() > end:
                raise FleetError(f"{self.context}: processes {sorted(left)} do not end")
            processes.kill(left)
            processes.wait_gone(left, 1)

    @override
    def restore_power(self) -> None:
        for program in self._programs():
            self._marker(program).unlink(missing_ok=True)
        self.connect()
        self._wake_supervisor()

    @override
    def alive(self) -> bool:
        return cgroups.first_process(self.plan.full_name) is not None

    def _programs(self) -> list[str]:
        spec = json.loads((self.plan.directory / "supervisor.json").read_text())
        return [program["name"] for program in spec["programs"]]

    def _marker(self, program: str) -> Path:
        log = self.plan.directory / "log" / f"{program}.log"
        if not log.exists():
            raise LookupError(f"{self.context} has no program {program}")
        return self.plan.directory / "stopped" / program

    def _wake_supervisor(self) -> None:
        pid = cgroups.first_process(self.plan.full_name)
        if pid is None:
            raise LookupError(f"{self.context} is not running")
        os.kill(pid, signal.SIGHUP)


def condition(item: JsonObject, kind: str) -> bool:
    """Tell whether an object's status has this condition with status True."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)
