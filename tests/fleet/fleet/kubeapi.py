"""A small client of the Kubernetes API: create objects and read their state, without a process each.

Uses the standard library only; certificates come from a kubeconfig with embedded data.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

JsonObject = dict[str, Any]

# Cluster-scoped kinds that the fleet and its tests create; every other kind lives in a namespace.
CLUSTER_SCOPED = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "GatewayClass",
        "ModelCluster",
        "Namespace",
        "StorageClass",
        "SubjectAccessReview",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)


class ApiError(FleetError):
    """The API server refused a request, or cannot be reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (status {status})" if status else message)
        self.status = status


class KubeApi:
    """One connection to one API server. Not for use by several threads at once."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        server = urlsplit(cluster["server"])
        context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as file:  # Python loads client keys from files only
            file.write(base64.b64decode(user["client-certificate-data"]))
            file.write(base64.b64decode(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
        assert server.hostname is not None
        self._connection = http.client.HTTPSConnection(
            server.hostname, server.port, context=context, timeout=30
        )

    def request(
        self,
        method: str,
        path: str,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """Send one request and return the object that comes back.

        A PATCH is an apply unless `headers` name another type of content.

        Raises
        ------
        ApiError
            With the status and the message of the API server.
        """
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        data = json.dumps(body).encode() if body is not None else None
        try:
            self._connection.request(method, path, data, {"Content-Type": kind, **(headers or {})})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ApiError(0, f"{method} {path}: {error}") from error
        try:
            answer: JsonObject = json.loads(content) if content else {}
        except ValueError:
            answer = {"message": content.decode(errors="replace")}
        if response.status >= 400:
            raise ApiError(response.status, f"{method} {path}: {answer.get('message')}")
        return answer

    def get(self, path: str) -> JsonObject:
        """Read one object or a list."""
        return self.request("GET", path)

    def find(self, path: str) -> JsonObject | None:
        """Read one object, None if it is not there."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, objects: Iterable[JsonObject], seconds: float = 60) -> None:
        """Create objects in this order; those that exist are left as they are.

        What is refused because something it depends on is not there yet (a namespace, a new kind)
        is tried again for so many seconds.
        """
        end = time.monotonic() + seconds
        for item in objects:
            while True:
                try:
                    self.request("POST", collection_path(item), item)
                except ApiError as error:
                    if error.status == 409:
                        break
                    if error.status not in {0, 403, 404, 429, 500, 503} or time.monotonic() > end:
                        raise
                    time.sleep(0.1)
                else:
                    break

    def ready(self) -> bool:
        """Tell whether the API server says that it is ready."""
        try:
            self._connection.request("GET", "/readyz")
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False
        return response.status == 200


def collection_path(item: JsonObject) -> str:
    """Return the path under which objects of this one's kind are made."""
    group_version, kind = item["apiVersion"], item["kind"]
    prefix = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    plural = _plural(kind.lower())
    if kind in CLUSTER_SCOPED:
        return f"{prefix}/{plural}"
    return f"{prefix}/namespaces/{item['metadata'].get('namespace', 'default')}/{plural}"


class NotReadyError(FleetError, TimeoutError):
    """Something did not come in time."""


class EndedError(FleetError):
    """Waiting was given up because it no longer matters."""


def wait_for(
    what: str,
    check: Callable[[], bool],
    seconds: float,
    pause: float = 0.2,
    ending: threading.Event | None = None,
) -> None:
    """Wait until a check holds.

    Raises
    ------
    NotReadyError
        Names what did not come.
    EndedError
        If ``ending`` is set meanwhile.
    """
    ending = ending or threading.Event()
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise NotReadyError(f"{what} did not come within {seconds:.0f} s")
        if ending.wait(pause):
            raise EndedError(what)


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("s") else f"{word}s"
