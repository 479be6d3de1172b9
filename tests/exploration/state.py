"""A state of hub, operator and members, in the one form that stands for all states that act alike.

What the canonical form leaves out, and why nothing is lost by that:

- *Texts and numbers for people* (messages, versions, conditions but one, analysis, history, counts of
  pods): `decide` writes them and never reads them, but for history, which only ``undo`` reads, and that
  is not explored. A test walks at random beside the full status and compares.
- *The time of day*: `decide` only takes differences of times. So "now" stands still and a step of time
  makes every timestamp older. Ages beyond every deadline are told apart by their order alone.
- *The names of rollouts*: only compared with each other. They are named in the order in which they
  occur. A new rollout gets a fresh hash, which no such name can be.
- *Generations*: only "this one or an older one".
- *The order of the members* where none is special (`Scope.symmetric`).
"""

import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from assay.api.deployment_status import ModelDeploymentStatus
from assay.render.naming import Identity
from assay.render.record import read_record, record
from assay.rollout import RecordView

from .clocks import AWAY_AFTER, AWAY_BEFORE, LONG_AGO, NOW, age, timed
from .scope import MEMBERS, Budget, Scope

GENERATION, BEFORE = 5, 1
"""The present generation, and any that was before."""

UID = "uid-1"
IDENTITY = Identity("fraud", "ml", "hub")

_OLDEST = 900
"""Seconds; every deadline is shorter, with all the time that a person may hold a rollout."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ID = re.compile(r"(?<![0-9a-z:])(?!7{10}|8{10}|9{10})[0-9a-f]{10}(?![0-9a-z])")
_OLDEST = 900
"""Seconds; every deadline is shorter, with all the time that a person may hold a rollout."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_ID = re.compile(r"(?<![0-9a-z:])(?!7{10}|8{10}|9{10})[0-9a-f]{10}(?![0-9a-z])")


class Route(NamedTuple):
    """What an HTTPRoute does."""

    stable: str
    slot: str
    weight: int
    stratum: str


class Request(NamedTuple):
    """The annotation.

    Attributes
    ----------
    taken
        Whether a hub has recorded an answer to it.
    """

    verb: str
    rollout: str
    taken: bool = False


class Pods(NamedTuple):
    """The pods of one revision in a member. They break all at once; fewer are ready while more start."""

    revision: str
    asked: int
    ready: int


class Member(NamedTuple):
    """One cluster, and what hub and operator have about it.

    Attributes
    ----------
    pods
        Revisions that have pods, how many were asked for, and how many are ready.
    record
        Content of its record; empty: there is none.
    entry, latched
        Its entry in ``status.clusters`` of the hub, and of a rollback that only the operator knows.
    counted
        Whether the operator remembers its counts of the present trial.
    """

    reachable: bool = True
    pods: tuple[Pods, ...] = ()
    route: Route | None = None
    record: str = ""
    entry: str = ""
    latched: str = ""
    counted: bool = False


class State(NamedTuple):
    """Everything.

    Attributes
    ----------
    hub
        Status without the members; `Member.entry` has those.
    latched
        A rollback that was acted on and that the hub does not know; empty: none.
    promoted
        Revisions that became stable by evidence, a person, or as the first of all.
    doomed
        Rollouts of which a rollback was recorded anywhere.
    """

    hub: str
    latched: str
    revision: str
    request: Request | None
    members: tuple[Member, ...]
    left: Budget
    promoted: frozenset[str] = frozenset()
    doomed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """A status as it is kept: the members apart from the rest."""

    body: str
    entries: tuple[str, ...]


def empty(scope: Scope) -> State:
    """Return the state before anything was written."""
    blank = written(ModelDeploymentStatus(), scope)
    return State(
        blank.body, "", scope.revisions[0], None, tuple(Member() for _ in MEMBERS), scope.budget
    )


def written(status: ModelDeploymentStatus, scope: Scope) -> Written:
    """Return `status` without what is never read again."""
    document = status.to_dict()
    entries = {item["name"]: _entry(item, document) for item in document.get("clusters", ())}
    body = timed(_body(document), scope)
    return Written(_text(body), tuple(entries.get(name, "") for name in MEMBERS))


def remembered(status: ModelDeploymentStatus, scope: Scope) -> tuple[str, ...]:
    """Return the record that is written to each member with `status`.

    While no hub is lost only the rollout and its decision are ever read of it, and those are the same
    for all.
    """
    if not scope.whole_records:
        return (_decided(status),) * len(MEMBERS)
    return tuple(_whole(status, name, scope) for name in MEMBERS)


def _content(status: ModelDeploymentStatus, member: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record(IDENTITY, UID, status, member)["data"]["record.json"])
    return found


def _decided(status: ModelDeploymentStatus) -> str:
    rollout = _content(status, MEMBERS[0]).get("rollout")
    if rollout is None:
        return ""
    kept: dict[str, Any] = {"id": rollout["id"]}
    if decision := rollout.get("decision"):
        kept["decision"] = {**_decision(decision), "at": LONG_AGO}
    return _text({"rollout": kept})


def _whole(status: ModelDeploymentStatus, member: str, scope: Scope) -> str:
    content = _content(status, member)
    if "rollout" not in content:
        return ""
    own = {item["name"]: _entry(item, content) for item in content["clusters"]}
    return _text(
        {**timed(_body(content), scope), "judged": content["judged"], "own": own.get(member, "")}
    )


@cache
def read_status(body: str, entries: tuple[str, ...], scope: Scope) -> ModelDeploymentStatus:
    """Return the status that stands for all that are kept like this."""
    document = _full(json.loads(body), scope)
    document["clusters"] = [
        {"name": name, "message": "", **json.loads(entry)}
        for name, entry in zip(MEMBERS, entries, strict=True)
        if entry
    ]
    return ModelDeploymentStatus.model_validate(document)


@cache
def record_view(text: str, member: str, scope: Scope) -> RecordView | None:
    """Return what a member's record says, read as the operator does."""
    if not text:
        return None
    content = _full(json.loads(text), scope)
    own = content.pop("own", "")
    content["clusters"] = [{"name": member, **json.loads(own)}] if own else []
    data = json.dumps({"judged": [], **content})
    return read_record({"data": {"record.json": data}})


def older(state: State, seconds: int, scope: Scope) -> State:
    """Return `state` after some time."""
    return _with_texts(state, [_older(text, seconds, scope) for text in _texts(state)])


@lru_cache(100_000)
def _older(text: str, seconds: int, scope: Scope) -> str:
    by = datetime.timedelta(seconds=seconds)

    def before(found: re.Match[str]) -> str:
        return (datetime.datetime.fromisoformat(found[0]) - by).strftime("%Y-%m-%dT%H:%M:%SZ")

    shifted = _TIME.sub(before, text)
    return shifted if shifted == text else _text(timed(json.loads(shifted), scope))


def new_generation(state: State) -> State:
    """Return `state` in which every generation that is named is one before the present one."""
    now, before = f'"generation":{GENERATION}', f'"generation":{BEFORE}'
    return _with_texts(state, [text.replace(now, before) for text in _texts(state)])


def with_request(state: State, name: str) -> State:
    """Return `state` in which an answer to the request `name` is one to a request before it."""
    now, before = f'"id":"{name}"', '"id":"before"'
    return _with_texts(state, [text.replace(now, before) for text in _texts(state)])


def canonical(state: State, scope: Scope) -> State:
    """Return the state that stands for all that act like this one."""
    one = _named(state)
    if not scope.symmetric:
        return one
    swapped = _named(state._replace(members=state.members[::-1]))
    return min(one, swapped, key=_order)


def rollout_ids(state: State) -> set[str]:
    """Return every rollout that anything names."""
    return {found for text in _texts(state)[:-1] for found in _ids(text)}


def _order(state: State) -> tuple[str, ...]:
    shape = repr([(item.reachable, item.pods, item.counted, item.route) for item in state.members])
    return (shape, *_texts(state))


def _named(state: State) -> State:
    """Name rollouts by their order and make times comparable."""
    texts = _texts(state)
    *rest, doomed = texts
    far = sorted({age for text in rest for age in _ages(text) if age > _OLDEST})
    if far:
        clamped = {_time(age): _time(_OLDEST + 1 + index) for index, age in enumerate(far)}
        rest = [_TIME.sub(lambda found: clamped.get(found[0], found[0]), text) for text in rest]
    names: dict[str, str] = {}
    for text in rest:
        for found in _ids(text):
            names.setdefault(found, f"{len(names):010x}")
    if any(found != name for found, name in names.items()):
        rest = [
            _ID.sub(lambda found: names[found[0]], text) if _ids(text) else text for text in rest
        ]
    # What is only doomed and named nowhere else can come back nowhere.
    gone = sorted(names[item] for item in doomed.split() if item in names)
    changed = [*rest, " ".join(gone)]
    return state if changed == texts else _with_texts(state, changed)


@lru_cache(100_000)
def _ages(text: str) -> tuple[int, ...]:
    """Return how many seconds ago the times in `text` are."""
    return tuple(
        int((NOW - datetime.datetime.fromisoformat(found)).total_seconds())
        for found in _TIME.findall(text)
    )


@lru_cache(100_000)
def _ids(text: str) -> tuple[str, ...]:
    return tuple(_ID.findall(text))


def _texts(state: State) -> list[str]:
    """Return all texts with times and ids, the doomed last."""
    texts = [state.hub, state.latched, state.request.rollout if state.request else ""]
    for item in state.members:
        texts += [item.record, item.entry, item.latched, item.route.stratum if item.route else ""]
    return [*texts, " ".join(state.doomed)]


def _with_texts(state: State, texts: list[str]) -> State:
    hub, latched, rollout, *rest, doomed = texts
    members = []
    for index, item in enumerate(state.members):
        kept, entry, known, stratum = rest[index * 4 : index * 4 + 4]
        route = item.route._replace(stratum=stratum) if item.route else None
        members.append(item._replace(record=kept, entry=entry, latched=known, route=route))
    return state._replace(
        hub=hub,
        latched=latched,
        request=state.request._replace(rollout=rollout) if state.request else None,
        members=tuple(members),
        doomed=tuple(doomed.split()),
    )


@cache
def _time(age: int) -> str:
    return (NOW - datetime.timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _body(document: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in ("stable", "canary"):
        if name in document:
            kept[name] = document[name]["revision"]
    if rollout := document.get("rollout"):
        kept["rollout"] = _rollout(rollout)
    if rejected := document.get("rejectedRevisions"):
        kept["rejectedRevisions"] = [
            {key: item[key] for key in ("revision", "reason", "generation") if key in item}
            for item in sorted(rejected, key=lambda item: str(item["revision"]))
        ]
    if retired := document.get("retiredRevisions"):
        kept["retiredRevisions"] = sorted(retired, key=lambda item: str(item["revision"]))
    if last := document.get("lastRequest"):
        kept["lastRequest"] = {key: last[key] for key in ("id", "result")}
    for item in document.get("conditions", ()):
        if item["type"] == "MembersReachable":
            kept["reachable"] = [item["status"] == "True", item["lastTransitionTime"]]
    return kept


def _rollout(document: dict[str, Any]) -> dict[str, Any]:
    """Keep what is read."""
    kept = {key: value for key, value in document.items() if key not in {"settings", "stickyBy"}}
    kept["steps"] = list(document.get("steps", ()))
    kept["waves"] = [{**item, "startedAt": LONG_AGO} for item in document.get("waves", ())]
    if "paused" in kept:
        kept["paused"] = {"by": kept["paused"]["by"], "at": LONG_AGO}
    if "latched" in kept:
        kept["latched"] = {**_decision(kept["latched"]), "at": LONG_AGO}
    if "decision" in kept:
        kept["decision"] = _decision(kept["decision"])
    return kept


def _decision(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("verdict", "reason", "at")}


def _entry(item: dict[str, Any], document: dict[str, Any]) -> str:
    names = ("reachable", "revision", "weight", "ledgerStore", "wave")
    kept = {key: item[key] for key in names if key in item}
    if "unreachableSince" in item:
        steps = document.get("rollout", {}).get("steps", ())
        later = bool(steps) and age(item["unreachableSince"]) < age(steps[0]["startedAt"])
        kept["unreachableSince"] = AWAY_AFTER if later else AWAY_BEFORE
    return _text(kept)


def _reference(revision: str) -> dict[str, Any]:
    return {
        "revision": revision,
        "version": revision[0],
        "digest": "sha256:" + revision[0] * 64,
    }


def _full(kept: dict[str, Any], scope: Scope) -> dict[str, Any]:
    document = dict(kept)
    for name in ("stable", "canary"):
        if name in document:
            document[name] = _reference(document[name])
    if "rollout" in document:
        rollout = {"settings": scope.spec(scope.revisions[0]).rollout.to_dict()}
        document["rollout"] = rollout | document["rollout"]
    document["rejectedRevisions"] = [
        {"version": item["revision"][0], "message": "", "at": LONG_AGO, **item}
        for item in document.get("rejectedRevisions", ())
    ]
    if "lastRequest" in document:
        document["lastRequest"] = {"at": LONG_AGO, **document["lastRequest"]}
    known = document.pop("reachable", None)
    if known:
        whole, since = known
        document["conditions"] = [
            {
                "type": "MembersReachable",
                "status": "True" if whole else "False",
                "reason": "AllReachable" if whole else "MembersUnreachable",
                "message": "",
                "observedGeneration": GENERATION,
                "lastTransitionTime": since,
            }
        ]
    return document


def names_of(pods: Iterable[Pods]) -> frozenset[str]:
    """Return the revisions that have pods."""
    return frozenset(item.revision for item in pods)


def ready_in(member: Member, revision: str) -> int:
    """Return how many pods of `revision` are ready in `member`."""
    return next((item.ready for item in member.pods if item.revision == revision), 0)
