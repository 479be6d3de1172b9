"""One API server as a person reaches it: by their own kubeconfig, login plugins included.

In a pod that has none it is the cluster around it, as the pod's service account: as kubectl does.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from .document import InputError

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"

_SECONDS = 30.0


class Refused(click.ClickException):
    """The API server says no, or does not answer (`status` 0).

    Attributes
    ----------
    status
        HTTP status code.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """One context of a kubeconfig.

    Parameters
    ----------
    title
        How messages call it.
    context, kubeconfig
        None: the current context, the usual file.

    Raises
    ------
    InputError
        If the kubeconfig cannot be used.
    """

    def __init__(self, title: str, context: str | None, kubeconfig: Path | None) -> None:
        try:
            from kubernetes import client, config  # noqa: PLC0415
        except ImportError as error:
            raise InputError(f"needs {error.name}: pip install 'assay[operator]'") from None
        file = None if kubeconfig is None else str(kubeconfig)
        self.title = title
        self.namespace = "default"
        self._api: Any
        self._errors = client.ApiException
        try:
            if file is None and context is None and _in_a_pod():
                configuration = client.Configuration()
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
                self._api = client.ApiClient(configuration)
                return
            contexts, current = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]
            self._api = config.new_client_from_config(file, context)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise InputError(f"the kubeconfig cannot be used: {error}") from None
        chosen = next((each for each in contexts if each["name"] == context), current)
        self.namespace = chosen["context"].get("namespace") or "default"

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        seconds: float = _SECONDS,
    ) -> dict[str, Any]:
        """Return the answer. Raises `Refused`."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            call = self._api.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._api.call_api(*call, _request_timeout=seconds)
            data = answer.read()
        except (HTTPError, self._errors) as error:
            raise Refused(0, f"{self.title} does not answer: {error}") from None
        document = _document(data)
        if answer.status < 300:
            return document
        message = document.get("message") or f"{answer.status} {answer.reason}"
        raise Refused(answer.status, str(message))

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._api.configuration.host).rstrip("/")

    def get(self, path: str, headers: Mapping[str, str], seconds: float) -> Any:
        """Return the answer to a GET as urllib3 has it, unread, whatever its status.

        Raises `Refused` if there is none.
        """
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        call = self._api.param_serialize(
            "GET", path, header_params=dict(headers), auth_settings=["BearerToken"]
        )
        try:
            return self._api.call_api(*call, _request_timeout=seconds).response
        except (HTTPError, self._errors) as error:
            raise Refused(0, f"{self.title} does not answer: {error}") from None

    def find(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """Return the object, None if there is none. Raises `Refused`."""
        try:
            return self.request("GET", path, query)
        except Refused as error:
            if error.status == 404:
                return None
            raise


def _in_a_pod() -> bool:
    """Return whether there is nothing but the service account of a pod."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ or "KUBECONFIG" in os.environ:
        return False
    return not (Path.home() / ".kube" / "config").exists()


def _document(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
