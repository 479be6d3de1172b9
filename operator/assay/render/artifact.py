"""The init container that brings the artifact, with all that only it may know.

Credentials and keys come from Secrets of the member, which the operator names and never reads. They
are mounted here and nowhere else: the container that serves has no way to the store.
"""

from urllib.parse import urlsplit

from assay.api.model_deployment import ModelDeploymentSpec, ModelSource

from . import pods
from .naming import Manifest

MODEL_PATH = "/models/model.skops"
"""Whatever the format: the file is known by its digest."""

CREDENTIALS_DIRECTORY = "/etc/assay/credentials"
SIGNERS_DIRECTORY = "/etc/assay/signers"
CLAIMS_DIRECTORY = "/mnt/claims"


def fetch_container(spec: ModelDeploymentSpec, image: str) -> Manifest:
    """Return the init container: it ends well only with the right artifact in its place."""
    model = spec.model
    return {
        "name": "fetch",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "fetch",
            "--model-uri",
            pods.literal(model.uri),
            "--digest",
            model.digest,
            "--target",
            MODEL_PATH,
            *_more_arguments(model),
        ],
        "resources": pods.resources(spec.serving.resources),
        "securityContext": pods.container_security(),
        # The one line that says what is wrong with the artifact reaches status this way.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "model", "mountPath": "/models"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            *(mount for _, mount in _sources(model)),
        ],
    }


def fetch_volumes(model: ModelSource) -> list[Manifest]:
    """Return the volumes that `fetch_container` mounts beside those of every pod."""
    return [volume for volume, _ in _sources(model)]


def _more_arguments(model: ModelSource) -> list[str]:
    arguments = []
    if model.credentials is not None:
        arguments += ["--credentials-dir", CREDENTIALS_DIRECTORY]
    if model.signature is not None:
        arguments += ["--signers-dir", SIGNERS_DIRECTORY]
        if model.signature.uri is not None:
            arguments += ["--signature-uri", pods.literal(model.signature.uri)]
    return arguments


def _sources(model: ModelSource) -> list[tuple[Manifest, Manifest]]:
    """Return volume and mount of each Secret and claim that the model names."""
    found = []
    if model.credentials is not None:
        name = model.credentials.secret_name
        found.append(_secret("credentials", name, CREDENTIALS_DIRECTORY))
    if model.signature is not None:
        name = model.signature.public_key_secret_name
        found.append(_secret("signers", name, SIGNERS_DIRECTORY))
    uris = [model.uri] if model.signature is None else [model.uri, model.signature.uri or ""]
    claims = dict.fromkeys(urlsplit(uri).netloc for uri in uris if uri.startswith("pvc://"))
    found += [_claim(f"claim-{number}", claim) for number, claim in enumerate(claims)]
    return found


def _secret(volume: str, name: str, directory: str) -> tuple[Manifest, Manifest]:
    # Optional: without the Secret the container starts, and says in status what is missing.
    secret = {"secretName": name, "defaultMode": 0o440, "optional": True}
    mount = {"name": volume, "mountPath": directory, "readOnly": True}
    return {"name": volume, "secret": secret}, mount


def _claim(volume: str, claim: str) -> tuple[Manifest, Manifest]:
    mount = {"name": volume, "mountPath": f"{CLAIMS_DIRECTORY}/{claim}", "readOnly": True}
    return (
        {"name": volume, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
        mount,
    )
