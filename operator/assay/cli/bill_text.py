"""Prices as commands read them, and what they add up to as commands show it."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pydantic

from assay.api import API_VERSION
from assay.api.model_cluster import ModelClusterSpec
from assay.placement import Candidate
from assay.placement.bill import Bill
from assay.placement.wording import listed

from .cluster import Cluster
from .document import as_object, as_text, fail, load_objects, refuse

_NINE_PLACES = Decimal("1e-9")
"""As many as a price has."""


def clusters_of(files: Iterable[str]) -> tuple[Candidate, ...]:
    """Return the ModelClusters in manifests; other objects in them are passed over.

    Raises
    ------
    InputError
        If a file cannot be read, holds none, or one is not valid or there twice.
    """
    found: dict[str, Candidate] = {}
    for file in files:
        documents = [item for item in load_objects(file) if item.get("kind") == "ModelCluster"]
        if not documents:
            fail(file, f"holds no ModelCluster of {API_VERSION}")
        for document in documents:
            metadata = as_object(document.get("metadata"), f"{file}: metadata", ("name",), None)
            name = as_text(metadata["name"], f"{file}: metadata.name")
            as_object(
                metadata.get("labels") or {},
                f"{file}: ModelCluster {name}: metadata.labels",
                (),
                None,
            )
            if name in found:
                fail(file, f"ModelCluster {name} is there twice; give each once")
            try:
                found[name] = _candidate(document)
            except pydantic.ValidationError as error:
                refuse(error, f"{file}: ModelCluster {name}: spec")
    return tuple(found.values())


def clusters_on(hub: Cluster) -> tuple[Candidate, ...]:
    """Return the ModelClusters of a hub. Raises `Refused`, with status 403 for who may not read them."""
    return clusters_in(hub.request("GET", f"/apis/{API_VERSION}/modelclusters")["items"])


def clusters_in(documents: Iterable[Mapping[str, Any]]) -> tuple[Candidate, ...]:
    """Return ModelClusters as an API server has them.

    One that cannot be read, because this command is older than the hub, is left out: then its member
    is one without a price.
    """
    found = []
    for document in documents:
        try:
            found.append(_candidate(document))
        except pydantic.ValidationError:
            continue
    return tuple(found)


def _candidate(document: Mapping[str, Any]) -> Candidate:
    metadata = document["metadata"]
    spec = ModelClusterSpec.model_validate(document.get("spec"))
    return Candidate(metadata["name"], metadata.get("labels") or {}, spec)


def report(bill: Bill) -> dict[str, Any]:
    """Shape a bill as the JSON that other programs rely on: amounts are decimal strings."""
    total = bill.total
    return {
        "total": None if total is None else exact(total),
        "members": {name: exact(amount) for name, amount in bill.amounts.items()},
        "unpriced": list(bill.unpriced),
    }


def exact(amount: Decimal) -> str:
    """Write an amount to nine places, without zeros at the end."""
    text = f"{amount.quantize(_NINE_PLACES):f}"
    return text.rstrip("0").rstrip(".")


def money(amount: Decimal) -> str:
    """Write an amount for people: two places, or two digits of what is less than 1."""
    if not amount or amount >= 1:
        return f"{amount:,.2f}".replace(",", " ")
    return f"{amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1)):f}"


def words(bill: Bill, *, by_member: bool = False) -> str:
    """Write the sum, for which members there is none, and its parts if that says more."""
    parts = []
    if by_member and len(bill.amounts) > 1:
        parts.append(listed(f"{name} {money(amount)}" for name, amount in bill.amounts.items()))
    if bill.unpriced:
        parts.append(f"no price for {listed(bill.unpriced)}")
    amount = "unknown" if bill.total is None else money(bill.total)
    return f"{amount} ({'; '.join(parts)})" if parts else amount
