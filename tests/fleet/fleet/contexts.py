"""A fleet of clusters that exist already: contexts of the user's kubeconfig (kind, k3d, cloud)."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from typing_extensions import override

from fleet import state
from fleet.cluster import (
    GATEWAY,
    GATEWAY_NAMESPACE,
    PROMETHEUS,
    PROMETHEUS_NAMESPACE,
    PROMETHEUS_PORT,
    Cluster,
    condition,
)
from fleet.errors import FleetError
from fleet.local import Fleet
from fleet.processes import CommandError, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fleet.kubeapi import JsonObject
    from fleet.progress import Reporter

HOST_ADDRESS = "ASSAY_HOST_ADDRESS"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
GATEWAY_LABELS = (
    "gateway.networking.k8s.io/gateway-name",
    "gateway.envoyproxy.io/owning-gateway-name",
)


class NotSuitableError(FleetError):
    """Clusters lack something that a fleet needs."""


@dataclass(frozen=True)
class ContextCluster(Cluster):
    """A cluster behind a context. What this machine cannot reach directly is forwarded to it."""

    context_name: str
    directory: Path
    _forwards: dict[tuple[str, str, int], str] = field(default_factory=dict, compare=False)

    @property
    @override
    def name(self) -> str:
        return self.context_name

    @property
    @override
    def context(self) -> str:
        return self.context_name

    @property
    @override
    def kubeconfig(self) -> Path:
        stem = re.sub(r"[^\w.-]", "_", self.context_name)
        return self.directory / f"{stem}.kubeconfig"

    @property
    @override
    def address(self) -> str:
        config = json.loads(self.kubeconfig.read_text())
        host = urlsplit(str(config["clusters"][0]["cluster"]["server"])).hostname
        assert host is not None
        return host

    @property
    @override
    def kubectl_program(self) -> Path:
        return _installed("kubectl")

    @property
    @override
    def helm_program(self) -> Path:
        return _installed("helm")

    @override
    def read(self, path: str) -> JsonObject:
        answer: JsonObject = json.loads(self.kubectl("get", "--raw", path))
        return answer

    @override
    def gateway_url(self, namespace: str = GATEWAY_NAMESPACE, name: str = GATEWAY) -> str:
        address, port = self._gateway_address(namespace, name)
        if _reachable(address, port):
            return f"http://{address}:{port}"
        for label in GATEWAY_LABELS:
            found = json.loads(
                self.kubectl("get", "services", "-A", "-l", f"{label}={name}", "-ojson")
            )
            for item in found["items"]:
                metadata = item["metadata"]
                return self._forward(metadata["namespace"], metadata["name"], port)
        raise LookupError(
            f"Gateway {namespace}/{name} of {self.context} is at {address}:{port}, "
            "which this machine does not reach, and it has no Service to forward to"
        )

    @override
    def service_url(self, namespace: str, service: str, port: int) -> str:
        found = self.read(f"/api/v1/namespaces/{namespace}/services/{service}")
        for entry in found["status"].get("loadBalancer", {}).get("ingress", []):
            address = entry.get("ip") or entry.get("hostname")
            if address and _reachable(address, port):
                return f"http://{address}:{port}"
        return self._forward(namespace, service, port)

    def missing(self) -> list[str]:
        """Return what the cluster lacks, each with what to do about it."""
        try:
            self.kubectl("get", "--raw", "/readyz")
        except CommandError as error:
            return [f"its API server does not answer: {error}"]
        lacking = []
        if not self._exists("/apis/gateway.networking.k8s.io/v1"):
            lacking.append("the Gateway API's CRDs (gateway-api.sigs.k8s.io/guides)")
        else:
            classes = self.read("/apis/gateway.networking.k8s.io/v1/gatewayclasses")["items"]
            if not any(condition(item, "Accepted") for item in classes):
                lacking.append("an accepted GatewayClass (install a gateway, e.g. Envoy Gateway)")
            path = f"namespaces/{GATEWAY_NAMESPACE}/gateways/{GATEWAY}"
            if not self._programmed(f"/apis/gateway.networking.k8s.io/v1/{path}"):
                lacking.append(f"a programmed Gateway {GATEWAY_NAMESPACE}/{GATEWAY}")
        if not self._exists(f"/api/v1/namespaces/{PROMETHEUS_NAMESPACE}/services/{PROMETHEUS}"):
            lacking.append(
                f"a Prometheus behind the Service {PROMETHEUS_NAMESPACE}/{PROMETHEUS}:{PROMETHEUS_PORT}"
            )
        storage = self.read("/apis/storage.k8s.io/v1/storageclasses")["items"]
        if not any(
            item["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true" for item in storage
        ):
            lacking.append("a default StorageClass")
        return lacking

    def _exists(self, path: str) -> bool:
        try:
            self.read(path)
        except CommandError:
            return False
        return True

    def _programmed(self, path: str) -> bool:
        try:
            return condition(self.read(path), "Programmed")
        except CommandError:
            return False

    def _forward(self, namespace: str, service: str, port: int) -> str:
        """Forward a free local port for as long as this process runs."""
        key = (namespace, service, port)
        if key not in self._forwards:
            words = [f"--kubeconfig={self.kubeconfig}", f"--namespace={namespace}", "port-forward"]
            process = subprocess.Popen(
                [self.kubectl_program, *words, f"service/{service}", f":{port}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            atexit.register(process.kill)
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if found is None:
                raise LookupError(
                    f"{namespace}/{service}:{port} of {self.context} is not reachable"
                )
            self._forwards[key] = f"http://127.0.0.1:{found[1]}"
        return self._forwards[key]


@dataclass(frozen=True)
class ContextFleet(Fleet):
    """A fleet of contexts; there is nothing to start and nothing to remove."""

    contexts: tuple[str, ...]
    directory: Path

    @classmethod
    def adopt(cls, name: str, contexts: Sequence[str]) -> ContextFleet:
        """Check clusters and write down that they are a fleet.

        Raises
        ------
        NotSuitableError
            Names all that is missing in all of them.
        """
        directory = _directory(name)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        fleet = cls(name, tuple(contexts), directory)
        problems = []
        for cluster in fleet.clusters.values():
            words = ["config", "view", "--minify", "--flatten", "--raw", "--output=json"]
            config = run([_installed("kubectl"), f"--context={cluster.context}", *words])
            cluster.kubeconfig.touch(mode=0o600)
            cluster.kubeconfig.write_text(config)
            problems += [f"{cluster.context} lacks {what}" for what in cluster.missing()]
        if problems:
            shutil.rmtree(directory)
            raise NotSuitableError("\n".join(problems))
        (directory / "contexts.json").write_text(json.dumps(fleet.contexts))
        return fleet

    @classmethod
    def find(cls, name: str) -> ContextFleet | None:
        """Return the fleet of contexts with this name, if there is one."""
        directory = _directory(name)
        try:
            contexts = json.loads((directory / "contexts.json").read_text())
        except FileNotFoundError:
            return None
        return cls(name, tuple(contexts), directory)

    @property
    @override
    def clusters(self) -> Mapping[str, ContextCluster]:
        return {name: ContextCluster(name, self.directory) for name in self.contexts}

    @property
    @override
    def bridge_address(self) -> str:
        address = os.environ.get(HOST_ADDRESS)
        if not address:
            raise FleetError(
                f"set {HOST_ADDRESS} to an address of this machine that pods of {self.name} reach"
            )
        return address

    @override
    def load_images(self, reporter: Reporter | None = None) -> None:
        """Do nothing: images for other people's clusters come from a registry."""

    @override
    def down(self, reporter: Reporter | None = None) -> None:
        """Forget the fleet; its clusters stay as they are."""
        shutil.rmtree(self.directory)


def _directory(name: str) -> Path:
    return state.cache_directory() / "contexts" / name


def _installed(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise FleetError(f"{name} is not installed")
    return Path(found)


def _reachable(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False
