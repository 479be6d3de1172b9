"""Two states of one object as people compare them: YAML, line by line, secrets struck out."""

import copy
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_SERVERS = (
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Metadata that the API server writes."""


@dataclass(frozen=True)
class Change:
    """One object before and after; None: it is not there."""

    title: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def lines(self) -> Iterator[str]:
        """Yield a unified diff; nothing when both are the same."""
        before, after = _masked(_shown(self.before), _shown(self.after))
        yield from difflib.unified_diff(
            _yaml(before),
            _yaml(after),
            f"{self.title} (now)",
            f"{self.title} (then)",
            lineterm="",
        )


def _shown(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what is compared: neither status nor what the API server keeps for itself."""
    if document is None:
        return None
    shown = copy.deepcopy({key: value for key, value in document.items() if key != "status"})
    metadata = shown.get("metadata", {})
    for name in _SERVERS:
        metadata.pop(name, None)
    for owner in metadata.get("ownerReferences") or ():
        owner.pop("uid", None)
    if "annotations" in metadata:
        # Of controllers of the member, such as the Deployment's count of its revisions.
        metadata["annotations"] = {
            key: value
            for key, value in metadata["annotations"].items()
            if not key.startswith(("deployment.kubernetes.io/", "kubectl.kubernetes.io/last-"))
        }
        if not metadata["annotations"]:
            del metadata["annotations"]
    return shown


def _masked(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Strike out what is in Secrets; that it differs is still seen."""
    for field in ("data", "stringData"):
        one, two = _secrets(before, field), _secrets(after, field)
        for key in one.keys() | two.keys():
            same = one.get(key) == two.get(key)
            if key in one:
                one[key] = "***" if same or key not in two else "*** (now)"
            if key in two:
                two[key] = "***" if same or key not in one else "*** (then)"
    return before, after


def _secrets(document: dict[str, Any] | None, field: str) -> dict[str, Any]:
    if document is None or document.get("kind") != "Secret":
        return {}
    found = document.get(field)
    return found if isinstance(found, dict) else {}


def _yaml(document: dict[str, Any] | None) -> list[str]:
    if document is None:
        return []
    text: str = yaml.safe_dump(document, sort_keys=True, width=200, allow_unicode=True)
    return text.splitlines()
