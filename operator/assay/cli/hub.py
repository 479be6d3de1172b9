"""The hub as a person reaches it: by their own kubeconfig, login plugins included."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pydantic

from assay.api import GROUP, VERSION
from assay.api.deployment_status import ModelDeploymentStatus
from assay.api.request import ANNOTATION, Request
from assay.cli.document import InputError

FIELD_MANAGER = "kubectl-assay"

_PLURAL = "modeldeployments"


def hub_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add what says which ModelDeployment is meant, and where."""
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
        click.argument("name"),
    ):
        command = decorate(command)
    return command


class Hub:
    """One ModelDeployment on the hub.

    Raises `InputError` if the kubeconfig cannot be used, and from every method
    `click.ClickException` with what the API server says.
    """

    def __init__(
        self, name: str, namespace: str | None, context: str | None, kubeconfig: Path | None
    ) -> None:
        try:
            from kubernetes import client, config  # noqa: PLC0415
        except ImportError as error:
            raise InputError(f"needs {error.name}: pip install 'assay[operator]'") from None
        file = None if kubeconfig is None else str(kubeconfig)
        try:
            contexts, current = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
            self._api = config.new_client_from_config(file, context)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise InputError(f"the kubeconfig cannot be used: {error}") from None
        chosen = next((each for each in contexts if each["name"] == context), current)
        self.name = name
        self.namespace = namespace or chosen["context"].get("namespace") or "default"
        self._client = client
        self._objects = client.CustomObjectsApi(self._api)

    def user(self) -> str:
        """Return who we are to the API server."""
        review = self._client.AuthenticationV1Api(self._api)
        with self._said():
            answer: Any = review.create_self_subject_review(self._client.V1SelfSubjectReview())
        return str(answer.status.user_info.username)

    def read(self) -> tuple[dict[str, Any], ModelDeploymentStatus]:
        """Return the object and its status."""
        with self._said():
            found: Any = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, _PLURAL, self.name
            )
        try:
            return found, ModelDeploymentStatus.model_validate(found.get("status") or {})
        except pydantic.ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise click.ClickException(
                f"status.{where} cannot be read: this command is older than the operator"
            ) from None

    def ask(self, request: Request) -> None:
        """Write the annotation; the last request stands."""
        # As the chart's ValidatingAdmissionPolicy reads it: without blanks, a key once.
        document = request.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        with self._said():
            self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                _PLURAL,
                self.name,
                {"metadata": {"annotations": {ANNOTATION: text}}},
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
            )

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            yield
        except self._client.ApiException as error:
            raise click.ClickException(_message(error, f"{self.namespace}/{self.name}")) from None
        except HTTPError as error:
            raise click.ClickException(f"the hub does not answer: {error}") from None


def _message(error: Any, name: str) -> str:
    if error.status == 404:
        return f"there is no ModelDeployment {name}"
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
