"""The manifests that the demo applies: those of examples/, with the demo's own models put in."""

import copy
from pathlib import Path
from typing import Any

import yaml

from demo.models import Artifact

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NAME = "breast-cancer"
NAMESPACE = "ml"

Manifest = dict[str, Any]


def deployment_manifest(artifact: Artifact, store_url: str, name: str = NAME) -> Manifest:
    """Return examples/breast-cancer/modeldeployment.yaml for `artifact`, fetched from `store_url`."""
    manifest = _example("breast-cancer/modeldeployment.yaml")
    manifest["metadata"]["name"] = name
    manifest["spec"]["model"] |= {
        "uri": f"{store_url}/{artifact.filename}",
        "version": artifact.version,
        "digest": artifact.digest,
    }
    return manifest


def cluster_manifest(name: str, scrape_interval_seconds: int = 1) -> Manifest:
    """Return examples/modelcluster.yaml for the member `name`."""
    manifest = _example("modelcluster.yaml")
    manifest["metadata"]["name"] = name
    manifest["spec"]["clusterSource"]["kubeConfig"]["secretName"] = secret_name(name)
    manifest["spec"]["prometheus"]["scrapeIntervalSeconds"] = scrape_interval_seconds
    manifest["spec"]["region"] = name
    manifest["spec"]["feedbackURL"] = f"http://feedback.{name}.example.com"
    return manifest


def secret_name(member: str) -> str:
    """Return the name of the Secret with a member's kubeconfig."""
    return f"member-{member}"


def _example(path: str) -> Manifest:
    manifest: Manifest = yaml.safe_load((EXAMPLES / path).read_text())
    return copy.deepcopy(manifest)
