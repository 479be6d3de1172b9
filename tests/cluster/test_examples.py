"""Every manifest that we show to people is admitted by a real API server."""

import pathlib
import re
import shutil
from collections.abc import Iterator

import pytest
import yaml

from fleet import Cluster
from tests.cluster.admission import Document, apply

pytestmark = pytest.mark.cluster

ROOT = pathlib.Path(__file__).parents[2]
GROUPS = ("assay.dev/", "gateway.networking.k8s.io/", "batch/")
"""What the hub of a fleet knows of what examples show."""
OTHERS = "gateways"
"""A namespace of other people, which an example speaks of."""


def shown() -> dict[str, Document]:
    """Manifests in examples/ and in the pages, by where they stand."""
    texts = {
        str(path.relative_to(ROOT)): path.read_text() for path in ROOT.glob("examples/**/*.yaml")
    }
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("charts/**/*.md")]:
        for number, block in enumerate(
            re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        ):
            texts[f"{page.relative_to(ROOT)}, block {number + 1}"] = block
    return {
        f"{where}, document {number + 1}": document
        for where, text in texts.items()
        for number, document in enumerate(yaml.safe_load_all(text))
        if isinstance(document, dict) and document.get("apiVersion", "").startswith(GROUPS)
    }


@pytest.fixture(scope="module")
def hub(hub_with_crds: Cluster) -> Iterator[Cluster]:
    """The hub with the namespaces that examples speak of."""
    hub_with_crds.kubectl("create", "namespace", OTHERS)
    yield hub_with_crds
    hub_with_crds.kubectl("delete", "namespace", OTHERS)


def test_there_are_examples() -> None:
    kinds = {item["kind"] for item in shown().values()}
    assert {"ModelDeployment", "ModelCluster", "Gateway", "Job"} <= kinds


@pytest.mark.parametrize("document", shown().values(), ids=shown().keys())
def test_is_admitted_as_it_stands(hub: Cluster, document: Document) -> None:
    assert apply(hub, document)["metadata"]["name"] == document["metadata"]["name"]


GITOPS = ROOT / "examples/gitops/apps/fraud"


def rendered(hub: Cluster, folder: pathlib.Path) -> Document:
    """The one object that kustomize makes of an environment, as the API server admits it."""
    return apply(hub, yaml.safe_load(hub.kubectl("kustomize", str(folder))))


def test_a_promotion_is_a_copy_of_one_file(hub: Cluster, tmp_path: pathlib.Path) -> None:
    shutil.copytree(GITOPS, tmp_path / "fraud")
    staging, production = (tmp_path / "fraud" / name for name in ("staging", "production"))
    tried = rendered(hub, staging)["spec"]
    before = rendered(hub, production)["spec"]
    assert before["model"]["version"] != tried["model"]["version"]

    shutil.copy(staging / "model.yaml", production / "model.yaml")

    after = rendered(hub, production)["spec"]
    assert after == {**before, "model": tried["model"]}
