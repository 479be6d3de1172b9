"""Artifacts in buckets: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

By obstore's file system for fsspec (docs/decisions/0013-object-stores.md). An object is read in
ranges, each tried again by itself, so that a break in the middle costs one range and not all.
"""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from assay_server.artifacts.credentials import GOOGLE_KEY, Credentials
from assay_server.artifacts.error import ArtifactError, Reason

RANGE_BYTES = 8 * 1024 * 1024
_PREFIX = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_", "abfs": "AZURE_", "abfss": "AZURE_"}
_GOOGLE_KEY_TEXT = "GOOGLE_SERVICE_ACCOUNT_KEY"
_CLIENT = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "10m"}


def open_bucket(uri: str, credentials: Credentials) -> tuple[Any, int]:
    """Open the object at `uri`; return a file-like object and its size in bytes.

    Needs the right to read that object, not to list the bucket. What the environment holds (a
    cloud's own identity of the pod) counts where the Secret says nothing.
    """
    from obstore.fsspec import FsspecStore  # noqa: PLC0415 - only the init container fetches

    class Objects(FsspecStore):
        """Asks for the object itself; obstore's own would list the bucket when it is not there."""

        @override
        async def _info(self, path: str, **_options: Any) -> dict[str, Any]:
            bucket, name = self._split_path(path)
            head = await self._construct_store(bucket).head_async(name)
            return {"name": path, "size": head["size"], "type": "file"}

    parts = urlsplit(uri)
    settings = _settings(parts.scheme, credentials)
    client: dict[str, Any] = dict(_CLIENT)
    if _is_without_tls(settings):
        client["allow_http"] = True
    if authority := credentials.authority():
        client["root_certificate"] = authority
    retries = {
        "max_retries": 3,
        "retry_timeout": timedelta(seconds=60),
        "backoff": {"init_backoff": timedelta(milliseconds=200)},
    }
    store: Any = Objects
    files = store(
        parts.scheme,
        config=settings or None,
        client_options=client,
        retry_config=retries,
        skip_instance_cache=True,
    )
    size = int(files.info(uri)["size"])
    return files.open(uri, "rb", size=size, buffer_size=RANGE_BYTES), size


def _settings(scheme: str, credentials: Credentials) -> dict[str, str]:
    """Return obstore's settings from the Secret, which go by the names of the clouds' own tools."""
    settings = credentials.settings(_PREFIX[scheme])
    if (key := settings.pop(GOOGLE_KEY, None)) is not None:
        _service_account(key)
        settings[_GOOGLE_KEY_TEXT] = key
    return settings


def _service_account(key: str) -> dict[str, Any]:
    try:
        document = json.loads(key)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        message = f"{GOOGLE_KEY} must be the JSON of a service account's key, not a path to it"
        raise ArtifactError(Reason.CREDENTIALS_INVALID, message)
    return document


def _is_without_tls(settings: dict[str, str]) -> bool:
    """Return whether the Secret names a store without TLS: whoever wrote that down means it.

    A server of the cluster's own for instance. S3 requests are signed, so no secret goes over the
    wire; the digest protects the artifact.
    """
    addresses = list(settings.values())
    if key := settings.get(_GOOGLE_KEY_TEXT):
        addresses.append(str(_service_account(key).get("gcs_base_url")))
    return any(address.startswith("http://") for address in addresses)
