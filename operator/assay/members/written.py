"""What was written to a member, and how a plan that was applied whole is known again."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pydantic_core

from assay.render.member import MemberPlan
from assay.render.naming import Manifest

from . import resources
from .cache import Key, digest


@dataclass(frozen=True)
class Written:
    """What was applied last.

    Attributes
    ----------
    wanted
        Hash of what was sent.
    live
        Hash of our part of what came back.
    uid
        Of the object.
    at
        When (`time.monotonic`).
    """

    wanted: str
    live: str
    uid: str
    at: float


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan that was applied whole.

    Attributes
    ----------
    mark
        Of what it was made of.
    keys
        Of its objects.
    watched
        Of all objects of watched kinds that were seen of the ModelDeployment, wanted or not.
    lacking
        Kinds that the member has not for us, and of which nothing was written.
    proof
        Digest of all that, kept on the hub for an operator that starts again.
    """

    mark: str
    keys: tuple[Key, ...]
    watched: frozenset[Key]
    lacking: frozenset[str]
    proof: str


def deployment_of(plan: MemberPlan) -> tuple[str, str]:
    """Return namespace and name of the ModelDeployment that a plan is of."""
    metadata = plan.record["metadata"]
    return metadata["namespace"], metadata["labels"][resources.DEPLOYMENT]


def documents(plan: MemberPlan, uids: Mapping[str, str] | None = None) -> Iterator[Manifest]:
    """Yield all objects of a plan; what is owned has the uid of its anchor from `uids`, by name."""
    yield plan.record
    yield from plan.ledger
    for item in plan.revisions:
        yield item.anchor
        yield from item.owned((uids or {}).get(item.anchor["metadata"]["name"], ""))
    yield from (each for each in (plan.route, plan.entry, plan.preview, plan.sticky) if each)


def unwatched(plan: MemberPlan) -> frozenset[Key]:
    """Return the keys of the objects whose metadata are looked at now and then."""
    return frozenset(key_of(item) for item in documents(plan) if item["kind"] in resources.CHECKED)


def proof_of(live: Mapping[Key, str]) -> str:
    """Return a digest of some objects as they are."""
    return digest(sorted([*key, each] for key, each in live.items()))


def sent_digest(document: Manifest) -> str:
    """Return a hash of what is sent, for this process only: another order of keys is another one.

    A plan has dozens of objects, most as they were before: this is three times as fast as `digest`.
    """
    return hashlib.blake2b(pydantic_core.to_json(document), digest_size=12).hexdigest()


def key_of(document: Manifest) -> Key:
    """Return kind, namespace and name of an object."""
    metadata = document["metadata"]
    return document["kind"], metadata["namespace"], metadata["name"]
