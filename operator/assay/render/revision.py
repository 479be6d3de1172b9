"""One revision: its hash, and the pod template that its ControllerRevision stores.

Rules:

Rule 1. The hash covers what can change a prediction or the pods: digest, format, decision, score, an
image that the user chose, resources. Not how the artifact comes and is checked (uri, credentials,
signature), version, replicas, placement or rollout settings.

Rule 2. Fields at their default value are left out of the hash: a new field, or a new default of an
old one, gives no running model another hash.

Rule 3. While a revision has never been ready its template follows the spec, so that a wrong uri can
be corrected. Once it has been ready the stored template rules: a new operator or another uri
restarts no pod that serves.

Rule 4. A template is the same in every member and under every hub; `serving` adds the member's name.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from assay.api.deployment_status import ModelDeploymentStatus, Stage
from assay.api.model_deployment import ModelDeploymentSpec, ModelFormat, ModelSource

from . import pods
from .artifact import MODEL_PATH, fetch_container, fetch_volumes
from .naming import HTTP_PORT, SERVER, pod_labels


@dataclass(frozen=True)
class Policy:
    """What the operator's own configuration says of models, and no manifest can.

    Part of a template when it is made (rule 3): another policy restarts no pod that serves.

    Attributes
    ----------
    trusted_types
        Types that skops files may hold beside those that skops trusts itself.
    unsafe_models
        Whether models of format Joblib may be served.
    """

    trusted_types: tuple[str, ...] = ()
    unsafe_models: bool = False


STRICT = Policy()
"""What counts unless the operator is told otherwise."""


def revision_hash(spec: ModelDeploymentSpec) -> str:
    """Return the revision that `spec` names: ten hexadecimal digits (rules 1 and 2)."""
    model = spec.model.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        exclude_none=True,
        include={"digest", "format", "decision", "score"},
    )
    serving = spec.serving.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        exclude_none=True,
        include={"image", "resources"},
    )
    # What is empty says nothing: "decision: {}" is no decision.
    content = {key: value for key, value in {**model, **serving}.items() if value not in ({}, None)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def follows_spec(status: ModelDeploymentStatus, revision: str) -> bool:
    """Return whether the template of `revision` follows the spec still (rule 3)."""
    starting = status.rollout is not None and status.rollout.stage is Stage.STARTING
    return starting and status.canary is not None and status.canary.revision == revision


def pod_template(
    name: str,
    namespace: str,
    spec: ModelDeploymentSpec,
    revision: str,
    default_image: str,
    policy: Policy = STRICT,
) -> dict[str, Any]:
    """Return the pod template of `revision` as a ControllerRevision stores it (rule 4)."""
    image = spec.serving.image or default_image
    return {
        "metadata": {
            "labels": pod_labels(name, SERVER, revision, spec.model.version),
            "annotations": pods.scrape_annotations(),
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": pods.GRACE_SECONDS,
            "securityContext": pods.security(),
            "initContainers": [fetch_container(spec, image)],
            "containers": [_server(name, namespace, spec, revision, image, policy)],
            "volumes": [
                {"name": "model", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                pods.keys_volume(name),
                *fetch_volumes(spec.model),
            ],
        },
    }


def _server(
    name: str,
    namespace: str,
    spec: ModelDeploymentSpec,
    revision: str,
    image: str,
    policy: Policy,
) -> dict[str, Any]:
    decision = spec.model.decision
    return {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "serve",
            "--model-uri",
            f"file://{MODEL_PATH}",
            "--model-name",
            name,
            "--model-version",
            pods.literal(spec.model.version),
            "--digest",
            spec.model.digest,
            "--http-port",
            str(HTTP_PORT),
        ],
        "env": pods.environment(
            namespace=namespace,
            deployment=name,
            revision=revision,
            threshold=decision.threshold if decision else None,
            positive_label=decision.positive_label if decision else None,
            keys_file=f"{pods.KEYS_DIRECTORY}/keys.json",
            drain_seconds=str(pods.DRAIN_SECONDS),
            **_loading(spec.model, policy),
        ),
        "ports": [pods.http_port()],
        "resources": pods.resources(spec.serving.resources),
        "securityContext": pods.container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **pods.probes(start_seconds=120),
        "volumeMounts": [
            {"name": "model", "mountPath": "/models", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            pods.keys_mount(),
        ],
    }


def _loading(model: ModelSource, policy: Policy) -> dict[str, str | None]:
    """Return what the server is told about loading; nothing where its defaults say the same.

    Without the policy's permission the server refuses a Joblib artifact, and status says why.
    """
    types = policy.trusted_types
    allowed = model.format is ModelFormat.JOBLIB and policy.unsafe_models
    return {
        "format": None if model.format is ModelFormat.SKOPS else model.format.value,
        "score": model.score.value if model.score else None,
        "unsafe": model.unsafe.value if allowed else None,
        "trusted_types": json.dumps(types) if types and model.format is ModelFormat.SKOPS else None,
    }
