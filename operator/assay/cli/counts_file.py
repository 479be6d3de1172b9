"""Reads the input of `assay judge`: what is asked, and the counts of both versions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.cli.document import InputError, as_list, as_number, as_object, as_text, fail
from assay.cli.metric_input import read_metric, read_metrics, read_policy
from assay.evidence.counts import (
    ArmCounts,
    Evidence,
    Moment,
    Stratum,
    check_comparable,
    check_grown,
)
from assay.evidence.errors import EvidenceError
from assay.evidence.groups import GroupCounts
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.weighted import WeightedCounts
from assay.judge import MetricSpec, Policy

ARM = (
    "confusion", "scores", "served", "labelled", "requests", "servedAs", "users", "weighted",
    "buckets",
)  # fmt: skip

_SNAKE = re.compile(r"^((?:weighted\.)?)(confusion|score|served)_(\w)")


@dataclass(frozen=True)
class Question:
    """What a file asks.

    Attributes
    ----------
    several
        Whether it gave a list of metrics, even of one: then the answer has a list, too.
    """

    metrics: tuple[MetricSpec, ...]
    policy: Policy
    evidence: Evidence
    several: bool = False


def parse(document: Any) -> Question:
    """Read the input document. Raises `InputError` with the path of the first wrong field."""
    top = as_object(
        document,
        "",
        required=("strata",) if isinstance(document, dict) and "metrics" in document else
        ("metric", "strata"),
        optional=("metric", "metrics", "history", "rollbackOn", "promoteOn", "confidence",
                  "minLabelCoverage", "growth"),
    )  # fmt: skip
    if "metric" in top and "metrics" in top:
        fail("metrics", "goes in place of metric; give one of them")
    policy = read_policy(top)
    try:
        evidence = Evidence(_strata(top["strata"], "strata"))
    except EvidenceError as error:
        raise InputError(str(error)) from None
    _check_alike(evidence)
    if "history" in top:
        history = _history(top["history"], evidence)
        try:
            evidence = replace(evidence, history=history)
        except EvidenceError as error:
            raise InputError(str(error)) from None
    members = {stratum.name.rpartition("/")[0] for stratum in evidence.strata}
    policy = replace(policy, by_member=len(members) > 1, since_moments=bool(evidence.history))
    if "metrics" in top:
        specs = read_metrics(top["metrics"], "metrics", evidence)
        return Question(tuple(specs), policy, evidence, several=True)
    return Question((read_metric(top["metric"], "metric", evidence),), policy, evidence)


def _strata(value: Any, path: str) -> tuple[Stratum, ...]:
    each = as_list(value, path, of="stratum")
    return tuple(_stratum(item, f"{path}[{index}]") for index, item in enumerate(each))


def _stratum(value: Any, path: str) -> Stratum:
    fields = as_object(value, path, required=("name", "stable", "canary"), optional=("weight",))
    weight = fields.get("weight")
    stable = _arm(fields["stable"], f"{path}.stable")
    canary = _arm(fields["canary"], f"{path}.canary")
    try:
        return Stratum(
            name=as_text(fields["name"], f"{path}.name"),
            stable=stable,
            canary=canary,
            weight=None if weight is None else as_number(weight, f"{path}.weight"),
        )
    except EvidenceError as error:
        raise error.within(path) from None


def _arm(value: Any, path: str) -> ArmCounts:
    fields = as_object(value, path, required=("labels",), optional=ARM)
    if "confusion" not in fields and "scores" not in fields:
        fail(path, "has neither confusion nor scores")
    for name in ARM:
        _check_numbers(fields.get(name, 0), f"{path}.{name}")
    labels = _labels(fields["labels"], f"{path}.labels")
    served_as = as_object(fields.get("servedAs", {}), f"{path}.servedAs", optional=None)
    try:
        arm = ArmCounts.counted(
            labels,
            fields.get("confusion"),
            _scores(fields.get("scores", {}), path),
            fields.get("served", 0),
            fields.get("requests"),
        )
        arm = replace(
            arm,
            labelled=fields.get("labelled", arm.labelled),
            served_as=served_as,
            users=fields.get("users", 0),
            weighted=_weighted(fields["weighted"], path) if "weighted" in fields else None,
            buckets=_buckets(fields["buckets"], path) if "buckets" in fields else None,
        )
    except EvidenceError as error:
        raise _spelled(error).within(path) from None
    return _checked(arm, fields, path)


def _checked(arm: ArmCounts, fields: Mapping[str, Any], path: str) -> ArmCounts:
    """Check counts against each other, and take the served rows from their parts."""
    _check_sums(arm, path)
    if served := sum(arm.served_as.values()):
        if "served" not in fields:
            requests = fields.get("requests", served)
            arm = replace(arm, served=served, requests=requests)
        elif served != arm.served:
            fail(f"{path}.servedAs", f"adds up to {served}, but served is {arm.served}")
    if arm.buckets is not None and (arm.buckets.confusion.sum(axis=0) > arm.confusion).any():
        fail(f"{path}.buckets.confusion", "has more rows than confusion")
    for name, histogram in arm.scores.items():
        if arm.weighted is not None and name in arm.weighted.scores:
            bins = arm.weighted.scores[name].shape[1]
            if bins != histogram.bins:
                fail(
                    f"{path}.weighted.scores.{name}",
                    f"has {bins} bins, but scores {histogram.bins}",
                )
    return arm


def _check_sums(arm: ArmCounts, path: str) -> None:
    """Refuse sums that the rows of the arm do not allow."""
    for name in arm.served_as:
        if name not in arm.labels:
            fail(f"{path}.servedAs.{name}", f"is none of the labels {list(arm.labels)}")
    counted = int(arm.confusion.sum())
    if arm.labelled < counted:
        fail(f"{path}.labelled", f"is {arm.labelled}, but confusion has {counted} rows")
    if arm.weighted is not None:
        light = arm.weighted.confusion < arm.confusion * (1.0 - 1e-9)
        if light.any():
            true, predicted = (int(place) for place in np.argwhere(light)[0])
            fail(
                f"{path}.weighted.confusion[{true}][{predicted}]",
                "is smaller than the number of rows, and weights are at least 1",
            )


def _check_numbers(value: Any, path: str) -> None:
    """Refuse what is no number anywhere in a count or a table of counts."""
    if isinstance(value, dict):
        for name, each in value.items():
            _check_numbers(each, f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _check_numbers(each, f"{path}[{index}]")
    elif isinstance(value, (bool, str)) or value is None:
        fail(path, f"{value!r} is not a number of rows")


def _labels(value: Any, path: str) -> tuple[str, ...]:
    found = []
    for index, label in enumerate(as_list(value, path, of="label")):
        if isinstance(label, (dict, list)) or label is None or label == "":
            fail(f"{path}[{index}]", "must be a label: a text or a number")
        found.append(str(label))
    return tuple(found)


def _scores(value: Any, path: str) -> dict[str, ScoreHistogram]:
    scores = as_object(value, f"{path}.scores", optional=None)
    return {name: _histogram(each, f"scores.{name}", path) for name, each in scores.items()}


def _histogram(value: Any, name: str, path: str) -> ScoreHistogram:
    where = f"{path}.{name}"
    fields = as_object(value, where, required=("positive", "negative"), optional=("others",))
    others = as_object(fields.get("others", {}), f"{where}.others", optional=None)
    try:
        return ScoreHistogram(fields["positive"], fields["negative"], others)
    except EvidenceError as error:
        raise error.within(name) from None


def _weighted(value: Any, path: str) -> WeightedCounts:
    where = f"{path}.weighted"
    fields = as_object(
        value,
        where,
        required=("confusion", "confusionSquares"),
        optional=("scores", "scoreSquares"),
    )
    tables = {}
    for name in ("scores", "scoreSquares"):
        classes = as_object(fields.get(name, {}), f"{where}.{name}", optional=None)
        tables[name] = {key: _both(each, f"{where}.{name}.{key}") for key, each in classes.items()}
    try:
        return WeightedCounts(
            fields["confusion"],
            fields["confusionSquares"],
            tables["scores"],
            tables["scoreSquares"],
        )
    except EvidenceError as error:
        raise error.within("weighted") from None


def _both(value: Any, path: str) -> Any:
    """Read sums of weights of rows that are and are not of the class, (2, bins)."""
    fields = as_object(value, path, required=("positive", "negative"))
    rows = [as_list(fields[name], f"{path}.{name}") for name in ("positive", "negative")]
    if len(rows[0]) != len(rows[1]):
        fail(f"{path}.negative", f"has {len(rows[1])} bins, but positive has {len(rows[0])}")
    return rows


def _buckets(value: Any, path: str) -> GroupCounts:
    fields = as_object(value, f"{path}.buckets", required=("confusion",), optional=("scores",))
    scores = as_object(fields.get("scores", {}), f"{path}.buckets.scores", optional=None)
    try:
        return GroupCounts(fields["confusion"], dict(scores))
    except EvidenceError as error:
        raise error.within("buckets") from None


def _check_alike(evidence: Evidence) -> None:
    """Refuse what the judge would pass over: weights or buckets of some arms only."""
    arms = {
        f"strata[{index}].{name}": arm
        for index, stratum in enumerate(evidence.strata)
        for name, arm in (("stable", stratum.stable), ("canary", stratum.canary))
    }
    labelled = {path: arm for path, arm in arms.items() if arm.labelled}
    for field in ("weighted", "buckets"):
        parts = {path: getattr(arm, field) for path, arm in labelled.items()}
        given = next((path for path, part in parts.items() if part is not None), None)
        if given is None:
            continue
        for path, part in parts.items():
            if part is None:
                fail(f"{path}.{field}", f"is missing, but {given} has it")
            if _shapes(part) != _shapes(parts[given]):
                fail(f"{path}.{field}", f"has other classes, bins or groups than that of {given}")


def _shapes(part: WeightedCounts | GroupCounts) -> dict[str, tuple[int, ...]]:
    return {"": part.confusion.shape, **{name: each.shape for name, each in part.scores.items()}}


def _history(value: Any, evidence: Evidence) -> tuple[Moment, ...]:
    """Read earlier moments: oldest first, of strata that are there now, none with more counts."""
    moments: list[Moment] = []
    items = as_list(value, "history")
    for index, item in enumerate(items):
        path = f"history[{index}]"
        fields = as_object(item, path, required=("seconds", "strata"))
        seconds = as_number(fields["seconds"], f"{path}.seconds")
        if seconds <= (moments[-1].seconds if moments else 0.0):
            fail(f"{path}.seconds", f"{seconds:g} is not later than the moment before")
        try:
            strata = _strata(fields["strata"], f"{path}.strata")
            Evidence(strata)
        except EvidenceError as error:
            raise InputError(_under(path, error)) from None
        moments.append(Moment(seconds, strata))
    for index, moment in enumerate(moments):
        last = index + 1 == len(moments)
        later = evidence.strata if last else moments[index + 1].strata
        where = "strata" if last else f"history[{index + 1}].strata"
        _check_later(moment.strata, f"history[{index}]", later, where)
    return tuple(moments)


def _check_later(
    earlier: tuple[Stratum, ...], before: str, later: tuple[Stratum, ...], path: str
) -> None:
    places = {stratum.name: index for index, stratum in enumerate(later)}
    for index, stratum in enumerate(earlier):
        if stratum.name not in places:
            fail(f"{before}.strata[{index}].name", f"{stratum.name!r} is not in {path} any more")
        place = places[stratum.name]
        if stratum.weight != later[place].weight:
            fail(
                f"{before}.strata[{index}].weight",
                f"{stratum.weight} is not the {later[place].weight} of the same stratum in {path}",
            )
        for name in ("stable", "canary"):
            old, new = getattr(stratum, name), getattr(later[place], name)
            if old.labelled and (old.weighted is None) != (new.weighted is None):
                has = "missing" if old.weighted is None else "there"
                fail(f"{before}.strata[{index}].{name}.weighted", f"is {has}, unlike in {path}")
            try:
                check_comparable(replace(old, scores={}), replace(new, scores={}))
                check_grown(old, _on_grid_of(old, new))
            except EvidenceError as error:
                where = f"{path}[{place}].{name}.{_spelled(error).field}"
                fail(where, f"{error.problem} since {before}")


def _on_grid_of(old: ArmCounts, new: ArmCounts) -> ArmCounts:
    """Return `new` with as many score bins as `old` has, where these are whole multiples."""
    scores = dict(new.scores)
    for name, histogram in old.scores.items():
        if name in scores and scores[name].bins % histogram.bins == 0:
            scores[name] = scores[name].coarser(scores[name].bins // histogram.bins)
    weighted = new.weighted
    if old.weighted is not None and weighted is not None:
        bins = {sums.shape[1] for sums in old.weighted.scores.values()}
        if len(bins) == 1 and all(
            sums.shape[1] % min(bins) == 0 for sums in weighted.scores.values()
        ):
            weighted = weighted.coarser(min(bins))
    return replace(new, scores=scores, weighted=weighted)


def _spelled(error: EvidenceError) -> EvidenceError:
    """Name a field as the file does, and say where fractions belong."""
    field = _SNAKE.sub(lambda found: f"{found[1]}{found[2]}{found[3].upper()}", error.field)
    problem = error.problem
    if problem.endswith("is not a whole number"):
        problem += "; sums of weights go into weighted"
    return EvidenceError(field, problem)


def _under(path: str, error: EvidenceError) -> str:
    """Return the message of an error that may name its path already."""
    return str(error) if error.field.startswith(path) else str(error.within(path))
