"""The objects and files of a cluster say what its plan says."""

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509

from fleet import addons, certificates, components, images, programs
from fleet.kubeapi import collection_path
from fleet.state import ClusterPlan, FleetPlan


@pytest.fixture
def plan(tmp_path: Path) -> ClusterPlan:
    return FleetPlan("dev", 170, ("hub", "east"), str(tmp_path)).cluster_plans[1]


def test_manifests_carry_the_plans_addresses(plan: ClusterPlan) -> None:
    objects = addons.objects(plan, "2s")
    by_name = {(item["kind"], item["metadata"]["name"]): item for item in objects}
    assert by_name["Service", "kube-dns"]["spec"]["clusterIP"] == plan.network.dns_service
    configuration = by_name["ConfigMap", "prometheus"]["data"]["prometheus.yml"]
    assert "scrape_interval: 2s" in configuration
    assert "replacement: $1:$2" in configuration
    storage = by_name["ConfigMap", "local-path-config"]["data"]
    assert str(plan.directory / "volumes") in storage["config.json"]
    assert '"$VOL_DIR"' in storage["setup"]


def test_the_namespace_of_models_is_restricted(plan: ClusterPlan) -> None:
    namespaces = [item for item in addons.objects(plan, "1s") if item["kind"] == "Namespace"]
    labels = {item["metadata"]["name"]: item["metadata"].get("labels") for item in namespaces}
    assert labels["ml"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_every_image_of_a_manifest_is_one_that_is_built(plan: ClusterPlan) -> None:
    built = {*images.PROGRAM_IMAGES, images.BASE_NAME, images.ENVOY_NAME}
    for item in addons.objects(plan, "1s"):
        if item["kind"] == "Deployment":
            for container in item["spec"]["template"]["spec"]["containers"]:
                assert container["image"] in built


def test_gateway_certificates_are_not_self_signed() -> None:
    for item in addons.gateway_secrets():
        if item["type"] == "kubernetes.io/tls":
            pem = base64.b64decode(item["data"]["tls.crt"])
            certificate = x509.load_pem_x509_certificate(pem)
            assert certificate.issuer != certificate.subject


def test_configuration_files_are_written_before_anything_starts(plan: ClusterPlan) -> None:
    spec = json.loads(components.write_configuration(plan, Path("/programs")).read_text())
    names = [program["name"] for program in spec["programs"]]
    assert set(names) == (set(programs.HYPER_NAMES) - {"kubectl"}) | {"containerd"}
    for program in spec["programs"]:
        for word in program["argv"]:
            value = word.partition("=")[2]
            if value.startswith(f"{plan.directory}/pki") or value.endswith(".json"):
                assert Path(value).exists(), word
    config = json.loads(plan.kubeconfig.read_text())
    assert config["current-context"] == "dev-east"
    assert config["clusters"][0]["cluster"]["server"] == "https://10.170.0.11:6443"
    assert plan.kubeconfig.stat().st_mode & 0o077 == 0


def test_merged_kubeconfigs_keep_every_context() -> None:
    pair = certificates.Pair(b"certificate", b"key")
    configs = [
        certificates.kubeconfig(f"https://{name}", b"ca", pair, f"dev-{name}")
        for name in ("hub", "east")
    ]
    merged = certificates.merge(configs)
    assert [entry["name"] for entry in merged["contexts"]] == ["dev-hub", "dev-east"]
    assert merged["current-context"] == "dev-hub"
    assert len(merged["users"]) == len(merged["clusters"]) == 2


@pytest.mark.parametrize(
    ("kind", "version", "path"),
    [
        ("Namespace", "v1", "/api/v1/namespaces"),
        ("ConfigMap", "v1", "/api/v1/namespaces/n/configmaps"),
        ("GatewayClass", "g/v1", "/apis/g/v1/gatewayclasses"),
        ("Gateway", "g/v1", "/apis/g/v1/namespaces/n/gateways"),
        ("EnvoyProxy", "g/v1", "/apis/g/v1/namespaces/n/envoyproxies"),
    ],
)
def test_collection_paths(kind: str, version: str, path: str) -> None:
    item = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}}
    assert collection_path(item) == path
