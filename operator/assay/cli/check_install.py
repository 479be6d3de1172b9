"""``assay check-install``: a small model is rolled out and removed again, as a user would do it.

``helm test`` runs it. The model is in the image of the model server, so nothing is fetched: what is
tried is the operator, its way to the members, their rights, images and pods, and the way back.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from assay.api import API_VERSION
from assay.api.deployment_status import ModelDeploymentStatus

from .cluster import Cluster, Refused
from .hub import deployment_path, kubeconfig_options, status_of

NAME = "assay-check"
EXAMPLE = {
    "uri": "file:///opt/assay/source/assay_server/example.onnx",
    "version": "example",
    "digest": "sha256:d5813c60610de60b6caa39a51245886b3404a4780f0864411df36bad7e531f4c",
    "format": "Onnx",
}
"""Where model-server/Dockerfile puts model-server/assay_server/example.onnx."""

_POLL_SECONDS = 0.5


@click.command("check-install")
@kubeconfig_options
@click.option("--gateway", help="A Gateway of the namespace in every member; without one no route.")
@click.option(
    "--cluster-label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only members that are labelled so; may be given again.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=180.0,
    show_default=True,
    help="Seconds until it serves, and again until it is gone.",
)
def check_install_command(
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
    gateway: str | None,
    labels: tuple[str, ...],
    timeout: float,
) -> None:
    """Roll a small model out to every member, and remove it again.

    Exit code 1 when it does not come to serve, or does not go, in time.
    """
    hub = Cluster("the hub", context, kubeconfig)
    namespace = namespace or hub.namespace
    began = time.monotonic()
    try:
        hub.request("POST", deployment_path(namespace), body=manifest(namespace, gateway, labels))
    except Refused as error:
        if error.status != 409:
            raise
        raise click.ClickException(
            f"ModelDeployment {namespace}/{NAME} is there: another check runs, or one was stopped; "
            f"kubectl delete modeldeployment {NAME} -n {namespace}"
        ) from None
    path = deployment_path(namespace, NAME)
    try:
        status = _serving(hub, path, timeout)
        names = ", ".join(sorted(member.name for member in status.clusters))
        click.echo(f"version {EXAMPLE['version']} serves in {names} after {_since(began)}")
    finally:
        began = time.monotonic()
        hub.request("DELETE", path)
        if any(hub.find(path) is None for _ in _polls(timeout)):
            click.echo(f"removed after {_since(began)}")
        else:
            click.echo(f"not removed within {timeout:g} s: {_told(hub.find(path))}", err=True)
            raise click.exceptions.Exit(1)


def manifest(namespace: str, gateway: str | None, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the ModelDeployment. Raises `click.ClickException` for a label that is none."""
    pairs = dict(label.partition("=")[::2] for label in labels)
    if not all(pairs.values()):
        raise click.ClickException("--cluster-label must be KEY=VALUE")
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "model": EXAMPLE,
            "serving": {"replicas": 1},
            "placement": {"clusterSelector": {"matchLabels": pairs}},
            "traffic": {"parentRefs": [{"name": gateway}]} if gateway else {"mode": "Replicas"},
        },
    }


def _serving(hub: Cluster, path: str, timeout: float) -> ModelDeploymentStatus:
    """Return status once it is Ready. Raises `click.ClickException` with what is said if it is not."""
    for _ in _polls(timeout):
        status = status_of(hub.find(path) or {})
        if any((item.type, item.status.value) == ("Ready", "True") for item in status.conditions):
            return status
    raise click.ClickException(f"it does not serve after {timeout:g} s: {_told(hub.find(path))}")


def _polls(timeout: float) -> Iterator[None]:
    """Yield until the time is over, once at least."""
    end = time.monotonic() + timeout
    while True:
        yield
        if time.monotonic() >= end:
            return
        time.sleep(_POLL_SECONDS)


def _told(document: dict[str, Any] | None) -> str:
    """Return what the conditions say, those that matter first."""
    conditions = status_of(document or {}).conditions
    words = [f"{item.type}={item.status} {item.reason} {item.message}" for item in conditions]
    return (
        "; ".join(words) or "the operator has not looked at it (kubectl -n assay-system get pods)"
    )


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"
