"""The ModelDeployment of a packaged model, ready but for what only the person knows."""

import re
from dataclasses import dataclass
from typing import Any

import pydantic
import yaml

from assay.api import API_VERSION
from assay.api.model_deployment import ModelDeploymentSpec, ModelFormat
from assay_workbench.candidate import Candidate
from assay_workbench.errors import WorkbenchError

PLACEHOLDER = "https://models.example.com"
"""In place of an address that nobody gave."""

GATEWAY = "models"
MOST_NAME = 40
MOST_SCORED = 16
"""Classes whose scores go into receipts; without them no AUC."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class Identity:
    """Who the model is in a cluster.

    Attributes
    ----------
    uri_prefix
        Where artifacts are, without the name of the file; `None` if nobody said.
    """

    name: str
    namespace: str
    version: str | None
    uri_prefix: str | None

    def check(self) -> None:
        """Raise `WorkbenchError` unless Kubernetes takes the name."""
        if not _NAME.fullmatch(self.name) or len(self.name) > MOST_NAME:
            raise WorkbenchError(
                f"--name: {self.name!r} must be at most {MOST_NAME} lower-case letters, digits and '-'"
            )

    def uri(self, file: str) -> str:
        """Return where the artifact will be."""
        return f"{(self.uri_prefix or PLACEHOLDER).rstrip('/')}/{file}"


def name_for(stem: str) -> str:
    """Return a name for the model of a file; it may be empty."""
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:MOST_NAME].rstrip("-")


def manifest(
    identity: Identity,
    file: str,
    digest: str,
    candidate: Candidate,
    positive: str | None,
    *,
    onnx: bool,
    signed: bool,
) -> str:
    """Return the manifest as YAML, checked by the types of the API. Raises `WorkbenchError`."""
    model: dict[str, Any] = {
        "uri": identity.uri(file),
        "version": identity.version or short(digest),
        "digest": digest,
    }
    if onnx:
        model["format"] = ModelFormat.ONNX.value
    if positive is not None:
        model["decision"] = {"positiveLabel": positive}
        if candidate.threshold is not None:
            model["decision"]["threshold"] = decimal(candidate.threshold)
    if signed:
        model["signature"] = {"publicKeySecretName": f"{identity.name}-signers"}
    spec = {
        "model": model,
        "traffic": {"parentRefs": [{"name": GATEWAY}]},
        "rollout": {"analysis": {"metrics": _metrics(candidate)}},
    }
    try:
        ModelDeploymentSpec.model_validate(spec)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(each) for each in first["loc"])
        raise WorkbenchError(
            f"the manifest would be refused: spec.{field}: {first['msg']}"
        ) from None
    document = {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": identity.name, "namespace": identity.namespace},
        "spec": spec,
    }
    remark = (
        "" if identity.uri_prefix else f"# Upload {file} and say in spec.model.uri where it is.\n"
    )
    return (
        f"# Made by assay package. The Gateway {GATEWAY!r} must be in every member; assay advise says which "
        f"metrics and margins fit.\n{remark}{yaml.safe_dump(document, sort_keys=False)}"
    )


def short(digest: str) -> str:
    """Return the first digits of a digest."""
    return digest.removeprefix("sha256:")[:8]


def decimal(value: float) -> str:
    """Write a threshold as the API takes it."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _metrics(candidate: Candidate) -> list[dict[str, str]]:
    averaged = {} if len(candidate.classes) == 2 else {"average": "Macro"}
    found = [{"name": "f1", "type": "F1", **averaged, "margin": "0.02"}]
    if candidate.kind is not None and len(candidate.classes) <= MOST_SCORED:
        found.append({"name": "auc", "type": "ROCAUC", **averaged, "margin": "0.01"})
    return found
