"""The ModelDeployment on the hub that a command speaks of."""

import json
from pathlib import Path
from typing import Any

import click
import pydantic

from assay.api import API_VERSION
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.request import ANNOTATION, Request

from .cluster import MERGE, Cluster, Refused

FIELD_MANAGER = "kubectl-assay"

_TAB_SECONDS = 2.0
"""How long somebody who presses tab waits."""


def kubeconfig_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add what says which hub is meant, and which namespace."""
    for decorate in (
        click.option(
            "--kubeconfig",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File to use; $KUBECONFIG or ~/.kube/config if left out.",
        ),
        click.option("--context", help="Context of the kubeconfig; the current one if left out."),
        click.option(
            "-n", "--namespace", help="Of the ModelDeployment; the context's own if left out."
        ),
    ):
        command = decorate(command)
    return command


def hub_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add what says which ModelDeployment is meant, and where."""
    return click.argument("name", shell_complete=_names)(kubeconfig_options(command))


def _names(context: click.Context, _: click.Parameter, part: str) -> list[str]:
    """Return the ModelDeployments that begin with `part`, for who presses tab; none if nobody answers."""
    given = context.params
    try:
        cluster = Cluster("the hub", given.get("context"), given.get("kubeconfig"))
        path = deployment_path(given.get("namespace") or cluster.namespace)
        found = cluster.request("GET", path, {"limit": "500"}, seconds=_TAB_SECONDS)["items"]
    except click.ClickException:
        return []
    names = [str(item["metadata"]["name"]) for item in found]
    return [name for name in names if name.startswith(part)]


def deployment_path(namespace: str, name: str = "") -> str:
    """Return the URL path of a ModelDeployment, or of all in a namespace."""
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/modeldeployments"
    return f"{path}/{name}" if name else path


class Hub:
    """One ModelDeployment on the hub.

    Raises `InputError` if the kubeconfig cannot be used, and from every method
    `click.ClickException` with what the API server says.
    """

    def __init__(
        self, name: str, namespace: str | None, context: str | None, kubeconfig: Path | None
    ) -> None:
        self.cluster = Cluster("the hub", context, kubeconfig)
        self.name = name
        self.namespace = namespace or self.cluster.namespace
        self._path = deployment_path(self.namespace, name)

    def user(self) -> str:
        """Return who we are to the API server."""
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = f"/apis/{kind['apiVersion']}/selfsubjectreviews"
        answer = self.cluster.request("POST", path, body=kind)
        return str(answer["status"]["userInfo"]["username"])

    def read(self) -> tuple[dict[str, Any], ModelDeploymentStatus]:
        """Return the object and its status."""
        found = self.cluster.find(self._path)
        if found is None:
            raise Refused(404, f"there is no ModelDeployment {self.namespace}/{self.name}")
        return found, status_of(found)

    def ask(self, request: Request) -> None:
        """Write the annotation; the last request stands."""
        # As the chart's ValidatingAdmissionPolicy reads it: without blanks, a key once.
        document = request.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        self.cluster.request(
            "PATCH",
            self._path,
            {"fieldManager": FIELD_MANAGER},
            {"metadata": {"annotations": {ANNOTATION: text}}},
            MERGE,
        )


def status_of(document: dict[str, Any]) -> ModelDeploymentStatus:
    """Return the status of a ModelDeployment. Raises `click.ClickException`."""
    try:
        return ModelDeploymentStatus.model_validate(document.get("status") or {})
    except pydantic.ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise click.ClickException(
            f"status.{where} cannot be read: this command is older than the operator"
        ) from None
