"""Asking a real API server whether it takes a manifest."""

import json
from typing import Any

from fleet import Cluster

Document = dict[str, Any]


def apply(cluster: Cluster, document: Document) -> Document:
    """Server-side dry run: admission as in earnest, nothing kept. CommandError if it is refused."""
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(document)
    )
    admitted: Document = json.loads(answer)
    return admitted
