"""Asking a real API server whether it takes what somebody writes.

By its API and not by kubectl: there are hundreds of questions, and a process takes longer than an answer.
"""

from typing import Any

from fleet import Cluster
from fleet.kubeapi import ApiError, collection_path

Document = dict[str, Any]

MERGE = {"Content-Type": "application/merge-patch+json"}


def apply(cluster: Cluster, document: Document) -> Document:
    """Return `document` as it would be kept, whether it is there or not. Nothing is kept.

    Raises
    ------
    ApiError
        If it is refused.
    """
    try:
        return create(cluster, document)
    except ApiError as error:
        if error.status != 409:
            raise
    return patch(cluster, document, document)


def create(cluster: Cluster, document: Document, user: str = "", *, keep: bool = False) -> Document:
    """Create `document` as `user` (the administrator); in a dry run, which asks admission all the same, unless `keep`.

    Raises
    ------
    ApiError
        If it is refused, for a field that nobody knows too.
    """
    path = f"{collection_path(document)}?{_query(keep=keep)}"
    return cluster.api().request("POST", path, document, _as(user))


def patch(
    cluster: Cluster, document: Document, changes: Document, user: str = "", *, keep: bool = False
) -> Document:
    """Merge `changes` into the object that `document` names, otherwise as :func:`create`."""
    path = f"{collection_path(document)}/{document['metadata']['name']}?{_query(keep=keep)}"
    return cluster.api().request("PATCH", path, changes, MERGE | _as(user))


def _query(*, keep: bool) -> str:
    return "fieldValidation=Strict" + ("" if keep else "&dryRun=All")


def _as(user: str) -> dict[str, str]:
    return {"Impersonate-User": user} if user else {}
