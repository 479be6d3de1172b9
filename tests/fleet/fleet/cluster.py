"""One running cluster: starting it, ending it, and talking to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleet import cgroups, components, imagestore, network, processes, programs
from fleet.kubeapi import ApiError, JsonObject, KubeApi, wait_for
from fleet.processes import run

if TYPE_CHECKING:
    from fleet.state import ClusterPlan, FleetPlan

START_SECONDS = 180
GATEWAY_NAMESPACE, GATEWAY = "ml", "models"


@dataclass(frozen=True)
class Cluster:
    """A handle on a cluster of a local fleet; it may be up or not."""

    plan: ClusterPlan

    @property
    def name(self) -> str:
        """Name within the fleet."""
        return self.plan.name

    @property
    def context(self) -> str:
        """Name of its context in kubeconfigs."""
        return f"{self.plan.fleet}-{self.plan.name}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig with all rights."""
        return self.plan.kubeconfig

    @property
    def address(self) -> str:
        """Address of the node; the API server listens on its port 6443."""
        return self.plan.network.node_address

    @property
    def netns(self) -> str:
        """Name of the network namespace (in ``/run/netns``)."""
        return self.plan.full_name

    def api(self) -> KubeApi:
        """Open a connection to the API server."""
        return KubeApi(self.kubeconfig)

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - subprocess's word
        """Run kubectl with all rights and return what it prints.

        Raises
        ------
        CommandError
            If kubectl fails; the message holds what it said.
        """
        kubectl = programs.HYPER.directory / "kubectl"
        return run([kubectl, f"--kubeconfig={self.kubeconfig}", *args], stdin=input)

    def helm(self, *args: str) -> str:
        """Run helm with all rights and return what it prints."""
        return run([programs.HELM.path, f"--kubeconfig={self.kubeconfig}", *args])

    def gateway_url(self, namespace: str = GATEWAY_NAMESPACE, name: str = GATEWAY) -> str:
        """Return the URL of a Gateway's HTTP listener; host and pods of all clusters reach it.

        Raises
        ------
        LookupError
            If the Gateway has no address yet.
        """
        path = f"/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/gateways/{name}"
        gateway = self.api().get(path)
        addresses = gateway.get("status", {}).get("addresses", [])
        if not addresses:
            raise LookupError(f"Gateway {namespace}/{name} of {self.context} has no address")
        port = gateway["spec"]["listeners"][0]["port"]
        return f"http://{addresses[0]['value']}:{port}"

    def service_url(self, namespace: str, service: str, port: int) -> str:
        """Return the URL of a Service; host and pods of all clusters reach it."""
        found = self.api().get(f"/api/v1/namespaces/{namespace}/services/{service}")
        return f"http://{found['spec']['clusterIP']}:{port}"

    def prometheus_url(self) -> str:
        """Return the URL of the cluster's Prometheus."""
        return self.service_url("monitoring", "prometheus", 9090)

    def disconnect(self) -> None:
        """Pull the cluster's cable: nobody outside reaches it until :meth:`connect`."""
        network.set_connected(self.plan, connected=False)

    def connect(self) -> None:
        """Plug the cluster's cable in again."""
        network.set_connected(self.plan, connected=True)

    def stop(self, program: str) -> None:
        """Kill a program of the cluster (``kube-apiserver``, ``etcd``, ...) and keep it down."""
        self._marker(program).touch()
        self._wake_supervisor()

    def start(self, program: str) -> None:
        """Start a stopped program again."""
        self._marker(program).unlink(missing_ok=True)
        self._wake_supervisor()

    def alive(self) -> bool:
        """Tell whether the cluster's processes run."""
        return cgroups.first_process(self.plan.full_name) is not None

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


def start(fleet: FleetPlan, plan: ClusterPlan, store: Path) -> subprocess.Popen[bytes]:
    """Make a cluster and start its programs; does not wait for any of them.

    The process that is returned lives as long as the cluster.
    """
    plan.directory.mkdir(parents=True)
    cgroups.create(plan.full_name)
    network.create_namespace(fleet, plan)
    spec = components.write_configuration(plan, programs.HYPER.directory)
    imagestore.link(store, plan.directory / "containerd")
    entrances = " ".join(str(path) for path in cgroups.entrances(plan.full_name))
    # Joins the control groups first: from then on `down` finds it and all that comes from it.
    script = f'for file in {entrances}; do echo 0 > "$file"; done; exec "$@"'
    command = [
        *("sh", "-e", "-c", script, "sh"),
        *("nsenter", f"--net={plan.netns}", "--"),
        *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--"),
        *(sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), str(spec)),
    ]
    with (plan.directory / "log" / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def wait_for_api(
    plan: ClusterPlan, process: subprocess.Popen[bytes], ending: threading.Event
) -> KubeApi:
    """Wait until the API server is ready and return a connection to it."""
    api = KubeApi(plan.kubeconfig)
    log = plan.directory / "log" / "kube-apiserver.log"

    def check() -> bool:
        if process.poll() is not None:
            supervisor = plan.directory / "log" / "supervisor.log"
            raise processes.CommandError(f"{plan.name} has died: {_end(supervisor)}")
        return api.ready()

    try:
        wait_for(f"the API server of {plan.name}", check, START_SECONDS, 0.1, ending)
    except TimeoutError as error:
        raise TimeoutError(f"{error}; its log ends with\n{_end(log)}") from None
    return api


def node_ready(api: KubeApi, plan: ClusterPlan) -> bool:
    """Tell whether the node takes pods."""
    node = api.find(f"/api/v1/nodes/{plan.node}")
    return node is not None and condition(node, "Ready")


def condition(item: JsonObject, kind: str) -> bool:
    """Tell whether an object's status has this condition with status True."""
    conditions = item.get("status", {}).get("conditions", [])
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


def destroy(plan: ClusterPlan) -> None:
    """Remove all that a cluster has made on the machine, however far it had come."""
    cgroups.destroy(plan.full_name)
    network.destroy_namespace(plan)
    processes.remove_tree(plan.directory)


def _end(log: Path, lines: int = 15) -> str:
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"
