"""What every cluster of a fleet has besides Kubernetes: DNS, gateway, Prometheus, storage."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import string
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fleet import images, programs, state
from fleet.certificates import Authority
from fleet.cluster import condition
from fleet.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet.kubeapi import JsonObject, KubeApi
    from fleet.progress import Reporter
    from fleet.state import ClusterPlan

MANIFESTS = Path(__file__).with_name("manifests")
FORMAT = "1"
GATEWAY_MODULE = "github.com/envoyproxy/gateway"
GATEWAY_API_MODULE = "sigs.k8s.io/gateway-api"
GATEWAY_SYSTEM = "envoy-gateway-system"
GATEWAY_IMAGE = "localhost/envoy-gateway:1"
OWNING_GATEWAY = "gateway.envoyproxy.io%2Fowning-gateway-name%3Dmodels"
GATEWAY_SETTINGS = {
    "config": {
        "envoyGateway": {
            "logging": {"level": {"default": "warn"}},
            "provider": {
                "type": "Kubernetes",
                "kubernetes": {
                    "leaderElection": {"disable": True},
                    "shutdownManager": {"image": GATEWAY_IMAGE},
                },
            },
        }
    },
    "crds": {"enabled": False},
}


def prepare(reporter: Reporter) -> tuple[list[JsonObject], list[JsonObject]]:
    """Return the gateway's resource definitions and its controller's objects, from its own modules."""
    key = "\0".join((FORMAT, programs.ENVOY_GATEWAY.digest(), json.dumps(GATEWAY_SETTINGS)))
    name = f"gateway-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    path = state.cache_directory() / "manifests" / name
    if not path.exists():
        with reporter.step("render the gateway's manifests", 10):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps([_definitions(), _gateway_controller()]))
            temporary.replace(path)
    definitions, controller = json.loads(path.read_text())
    return definitions, controller


def objects(plan: ClusterPlan, scrape_interval: str) -> list[JsonObject]:
    """Return what is made from our own manifests, with this cluster's addresses."""
    values = {
        "dns_service": plan.network.dns_service,
        "envoy_image": images.ENVOY_NAME,
        "helper_image": images.BASE_NAME,
        "scrape_interval": scrape_interval,
        "volumes": str(plan.directory / "volumes"),
    }
    found: list[JsonObject] = []
    for name in ("coredns", "gateway", "storage", "prometheus"):
        text = (MANIFESTS / f"{name}.yaml").read_text()
        found += _load(string.Template(text).substitute(values))
    return found


def gateway_secrets() -> list[JsonObject]:
    """Return the certificates with which the gateway's controller and its proxies trust each other.

    Envoy Gateway's own job makes the same, but has to be waited for.
    """
    # Not the name of a service: a certificate with its issuer's name counts as self-signed.
    authority = Authority("envoy-gateway-authority")
    service = "envoy-gateway"
    suffixes = ("", f".{GATEWAY_SYSTEM}", f".{GATEWAY_SYSTEM}.svc")
    names = [service + suffix for suffix in (*suffixes, f"{suffixes[-1]}.cluster.local")]
    subjects = {
        "envoy-gateway": names,
        "envoy": [f"*.{GATEWAY_SYSTEM}"],
        "envoy-rate-limit": [f"*.{GATEWAY_SYSTEM}"],
    }
    found = []
    for name, alternatives in subjects.items():
        pair = authority.issue(name, names=alternatives)
        data = {
            "ca.crt": authority.pair.certificate,
            "tls.crt": pair.certificate,
            "tls.key": pair.key,
        }
        found.append(_secret(name, "kubernetes.io/tls", data))
    found.append(_secret("envoy-oidc-hmac", "Opaque", {"hmac-secret": secrets.token_bytes(32)}))
    return found


def install(
    api: KubeApi,
    plan: ClusterPlan,
    scrape_interval: str,
    gateway: tuple[list[JsonObject], list[JsonObject]],
) -> None:
    """Create everything; waits only for what later objects need to be accepted."""
    definitions, controller = gateway
    own = objects(plan, scrape_interval)
    early = [item for item in own if "gateway" not in item["apiVersion"]]
    # DNS, Prometheus and storage start while the API server digests the definitions.
    api.create(early)
    api.create(definitions)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAY_SYSTEM}}
    api.create([namespace, *gateway_secrets(), *controller])
    api.create(item for item in own if "gateway" in item["apiVersion"])


def waiting_for(api: KubeApi) -> list[str]:
    """Return what is not ready yet, empty when all is."""
    missing = [
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in api.get("/apis/apps/v1/deployments")["items"]
        if item["status"].get("availableReplicas", 0) < item["spec"]["replicas"]
    ]
    gateway = api.find("/apis/gateway.networking.k8s.io/v1/namespaces/ml/gateways/models")
    if gateway is None or not condition(gateway, "Programmed"):
        missing.append("Gateway ml/models")
    return missing


def _definitions() -> list[JsonObject]:
    gateway_api = programs.module_directory(programs.ENVOY_GATEWAY, GATEWAY_API_MODULE)
    envoy_gateway = programs.module_directory(programs.ENVOY_GATEWAY, GATEWAY_MODULE)
    files = [
        *sorted((gateway_api / "config/crd/standard").glob("*.yaml")),
        *sorted((envoy_gateway / "charts/gateway-helm/charts/crds/crds/generated").glob("*.yaml")),
    ]
    found = [item for file in files for item in _load(file.read_text())]
    found = [item for item in found if item["kind"] == "CustomResourceDefinition"]
    for item in found:
        for version in item["spec"]["versions"]:
            _strip_descriptions(version.get("schema"))
    return found


def _gateway_controller() -> list[JsonObject]:
    """Render Envoy Gateway's own chart. Its values file is a template that its release fills in."""
    module = programs.module_directory(programs.ENVOY_GATEWAY, GATEWAY_MODULE)
    with tempfile.TemporaryDirectory() as temporary:
        chart = Path(temporary) / "gateway-helm"
        shutil.copytree(module / "charts/gateway-helm", chart, copy_function=shutil.copyfile)
        values = string.Template((chart / "values.tmpl.yaml").read_text()).safe_substitute(
            GatewayImage=GATEWAY_IMAGE, GatewayImagePullPolicy="IfNotPresent"
        )
        (chart / "values.yaml").write_text(values)
        settings = Path(temporary) / "settings.json"
        settings.write_text(json.dumps(GATEWAY_SETTINGS))
        words = ["--no-hooks", f"--namespace={GATEWAY_SYSTEM}", f"--values={settings}"]
        rendered = run([programs.HELM.path, "template", "eg", chart, *words])
    return sorted(_load(rendered), key=lambda item: item["kind"] == "Deployment")


def _strip_descriptions(schema: object) -> None:
    """Drop the texts of a schema: two thirds of it, which every API server would keep in memory."""
    if isinstance(schema, dict):
        if isinstance(schema.get("description"), str):
            del schema["description"]
        for value in schema.values():
            _strip_descriptions(value)
    elif isinstance(schema, list):
        for value in schema:
            _strip_descriptions(value)


def _secret(name: str, kind: str, data: dict[str, bytes]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": GATEWAY_SYSTEM},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def _load(text: str) -> list[JsonObject]:
    documents: Iterable[JsonObject | None] = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return [document for document in documents if document]
