"""`assay check-install` against a hub in this process: what it asks for, and what it says when it fails."""

import hashlib
import pathlib
from typing import Any

import pytest
from click.testing import CliRunner, Result

from assay.api.model_deployment import ModelDeploymentSpec
from assay.cli import check_install, main

ROOT = pathlib.Path(__file__).parents[4]
COLLECTION = "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments"
SINCE = "2026-01-01T00:00:00Z"


class Hub:
    """A hub whose operator serves at once, or says why not."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.made: list[dict[str, Any]] = []
        self.ready = "True"
        self.keeps = False
        self.content_types: list[str | None] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if (method, path) == ("POST", COLLECTION):
            if self.object is not None:
                return 409, {"message": "already exists"}
            condition = {"type": "Ready", "status": self.ready, "reason": "Starting"}
            told = {**condition, "message": "no image", "lastTransitionTime": SINCE}
            clusters = [{"name": name, "reachable": True} for name in ("west", "east")]
            self.object = {**body, "status": {"conditions": [told], "clusters": clusters}}
            self.made.append(body)
            return 201, self.object
        if path != f"{COLLECTION}/assay-check" or self.object is None:
            return 404, {"message": "not found"}
        found = self.object
        if method == "DELETE" and not self.keeps:
            self.object = None
        return 200, found


@pytest.fixture
def hub() -> Hub:
    return Hub()


def call(kubeconfig: pathlib.Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["check-install", f"--kubeconfig={kubeconfig}", *words])


def test_the_model_is_the_one_in_the_servers_image() -> None:
    content = (ROOT / "model-server/assay_server/example.onnx").read_bytes()
    assert check_install.EXAMPLE["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    dockerfile = (ROOT / "model-server/Dockerfile").read_text()
    assert "COPY model-server/assay_server /opt/assay/source/assay_server" in dockerfile


def test_it_serves_and_is_removed(kubeconfig: pathlib.Path, hub: Hub) -> None:
    result = call(kubeconfig, "--gateway=models", "--cluster-label=tier=serving")
    assert result.exit_code == 0, result.output
    assert "version example serves in east, west" in result.output
    assert hub.object is None
    spec = ModelDeploymentSpec.model_validate(hub.made[0]["spec"])
    assert spec.traffic.parent_refs is not None
    assert hub.made[0]["spec"]["placement"] == {
        "clusterSelector": {"matchLabels": {"tier": "serving"}}
    }


def test_what_does_not_serve_is_removed_too_and_said(kubeconfig: pathlib.Path, hub: Hub) -> None:
    hub.ready = "False"
    result = call(kubeconfig, "--timeout=0")
    assert result.exit_code == 1
    assert "does not serve after 0 s: Ready=False Starting no image" in result.output
    assert hub.object is None
    assert ModelDeploymentSpec.model_validate(hub.made[0]["spec"]).traffic.mode == "Replicas"


def test_what_stays_is_said(kubeconfig: pathlib.Path, hub: Hub) -> None:
    hub.keeps = True
    result = call(kubeconfig, "--timeout=0")
    assert result.exit_code == 1
    assert "not removed within 0 s" in result.output


def test_one_that_is_there_is_left_alone(kubeconfig: pathlib.Path, hub: Hub) -> None:
    hub.object = {"status": {}}
    result = call(kubeconfig)
    assert result.exit_code == 1
    assert "kubectl delete modeldeployment assay-check -n ml" in result.output
    assert hub.object is not None
