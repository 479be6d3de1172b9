"""What every pod of Assay has in common: the restricted Pod Security profile and the probes.

Containers set args and no command: the image's entry point is assay-server.
"""

from typing import Any

from assay.api.resources import Resources

from .naming import HTTP_PORT, receipts_name

USER = 65532
KEYS_DIRECTORY = "/etc/assay/receipts"
GRACE_SECONDS = 30
DRAIN_SECONDS = 5
"""A stopping server goes on answering for so long, until the gateway has seen that it is not ready."""


def security() -> dict[str, Any]:
    """Return the pod's security context (Pod Security Standards, profile restricted)."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Return a container's security context (profile restricted, and a read-only root)."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(wanted: Resources) -> dict[str, Any]:
    """Return a container's resources."""
    return {
        "requests": wanted.requests.to_dict(),
        "limits": wanted.limits.to_dict(),
    }


def probe(path: str, period_seconds: int, failure_threshold: int) -> dict[str, Any]:
    """Return an HTTP probe of the container's port ``http``."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failure_threshold,
    }


def probes(start_seconds: int) -> dict[str, Any]:
    """Return the three probes: so long to start, out of the Service after 2 s, restarted after 30 s."""
    return {
        "startupProbe": probe("/v2/health/live", 1, start_seconds),
        "readinessProbe": probe("/v2/health/ready", 1, 2),
        "livenessProbe": probe("/v2/health/live", 10, 3),
    }


def http_port() -> dict[str, Any]:
    """Return the container port that Services, probes and Prometheus use."""
    return {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}


def scrape_annotations() -> dict[str, str]:
    """Return the annotations by which Prometheus finds the pod."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(HTTP_PORT),
        "prometheus.io/path": "/metrics",
    }


def keys_volume(name: str) -> dict[str, Any]:
    """Return the volume with the receipt keys, readable by the pod's group only.

    Mounted as a directory: a single file mounted by subPath would never see a rotated key.
    """
    return {"name": "receipts", "secret": {"secretName": receipts_name(name), "defaultMode": 0o440}}


def keys_mount() -> dict[str, Any]:
    """Return the mount of `keys_volume`."""
    return {"name": "receipts", "mountPath": KEYS_DIRECTORY, "readOnly": True}


def environment(**values: str | None) -> list[dict[str, str]]:
    """Return the settings of assay-server, ``ASSAY_<NAME>`` each; None leaves one out."""
    return [
        {"name": f"ASSAY_{name.upper()}", "value": literal(value)}
        for name, value in values.items()
        if value is not None
    ]


def literal(text: str) -> str:
    """Return `text` so that the kubelet does not take ``$(...)`` in it for a reference."""
    return text.replace("$(", "$$(")
