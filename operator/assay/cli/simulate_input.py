"""What `assay simulate` reads: a ModelDeployment, and in options what no manifest says."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import yaml

from assay.api.model_deployment import ModelDeploymentSpec, Paused
from assay.cli.document import as_number, fail
from assay.rollout.settings import by_labels
from assay.rollout.simulation import (
    Effect,
    Member,
    ModelError,
    ScoreModel,
    Traffic,
    Trial,
    UnsupportedError,
    Yardstick,
    canary,
    fit,
    misfits,
    values,
    yardsticks_of,
)

DEFAULT_EFFECTS = (1.0, 0.0, -1.0, -2.0, -5.0)
"""In margins; those that no canary can have are left out."""

MOST_MEMBERS = 50

_ANALYSIS = "spec.rollout.analysis"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Given:
    """The options as they were written."""

    prevalence: str
    baseline: tuple[str, ...]
    effect: tuple[str, ...]
    label_rate: str
    label_delay: str
    label_coverage: str
    members: str
    max_looks: int


@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be simulated.

    Attributes
    ----------
    wanted
        Stable's metric values as they were given, by name.
    stable
        What the model makes of them, by name.
    canaries
        The effects that are simulated, with model and metric values by name.
    notes
        What a reader must know about all this, as sentences.
    """

    trial: Trial
    wanted: Mapping[str, float]
    stable: Mapping[str, float]
    canaries: tuple[tuple[Effect, ScoreModel, Mapping[str, float]], ...]
    notes: tuple[str, ...]


def read(file: str, given: Given) -> Asked:
    """Read everything. Raises `InputError` with the name of the first wrong option or field."""
    prevalence = _between(given.prevalence, "--prevalence", 0.0, 1.0)
    traffic = Traffic(
        label_rate=_positive(given.label_rate, "--label-rate"),
        label_delay=as_number(given.label_delay, "--label-delay"),
        label_coverage=as_number(given.label_coverage, "--label-coverage"),
        members=_members(given.members),
    )
    if traffic.label_delay < 0.0:
        fail("--label-delay", f"{traffic.label_delay:g} is negative")
    if not 0.0 < traffic.label_coverage <= 1.0:
        fail("--label-coverage", f"{traffic.label_coverage:g} is not above 0 and at most 1")
    spec = _without_people(_spec(_deployment(_documents(file), file)))
    try:
        spec = by_labels(spec)
        yardsticks = yardsticks_of(spec)
    except (UnsupportedError, ValueError) as error:
        fail(f"{_ANALYSIS}.metrics", str(error))
    wanted = _baselines(given.baseline, yardsticks)
    known = [each for each in yardsticks if each.spec.name in wanted]
    try:
        stable = fit(known, wanted, prevalence)
    except ModelError as error:
        fail(f"--baseline {error.metric}", error.problem)
    try:
        trial = Trial.of(spec, yardsticks, stable, traffic, given.max_looks)
    except ValueError as error:
        fail(_ANALYSIS, str(error))
    canaries, left_out = _canaries(given.effect, yardsticks, stable)
    off = misfits(known, wanted, stable)
    return Asked(
        trial,
        wanted,
        _by_name(yardsticks, stable, stable),
        tuple((each, model, _by_name(yardsticks, model, stable)) for each, model in canaries),
        (*_notes(trial, off), *left_out),
    )


def _documents(file: str) -> list[Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(yaml.safe_load_all(text))
    except (OSError, UnicodeDecodeError) as error:
        fail(file, str(getattr(error, "strerror", None) or error))
    except yaml.YAMLError as error:
        fail(file, f"is not YAML: {' '.join(str(error).split())}")


def _deployment(documents: Sequence[Any], file: str) -> Mapping[str, Any]:
    found = [
        each
        for each in documents
        if isinstance(each, dict) and each.get("kind") == "ModelDeployment"
    ]
    if len(found) != 1:
        kinds = [str(each.get("kind")) for each in documents if isinstance(each, dict)]
        fail(
            file,
            f"must hold one ModelDeployment, not {len(found)} (it holds: "
            f"{', '.join(kinds) or 'no object'})",
        )
    return found[0]


def _without_people(spec: ModelDeploymentSpec) -> ModelDeploymentSpec:
    """Return the spec as if everybody approved at once and nobody paused anything."""
    canary = spec.rollout.canary.without_pauses()
    rollout = spec.rollout.model_copy(update={"canary": canary})
    return spec.model_copy(update={"rollout": rollout, "paused": Paused.NONE})


def _spec(document: Mapping[str, Any]) -> ModelDeploymentSpec:
    try:
        return ModelDeploymentSpec.model_validate(document.get("spec"))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        fail(f"spec{path}", first["msg"])


def _baselines(words: Sequence[str], yardsticks: Sequence[Yardstick]) -> dict[str, float]:
    by_name = {each.spec.name: each for each in yardsticks}
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in by_name:
            fail("--baseline", f"{word!r} is not NAME=VALUE; names are {', '.join(by_name)}")
        if name in found:
            fail("--baseline", f"{name} is given twice")
        costs = by_name[name].spec.costs
        largest = max([1.0, *(cost for *_, cost in costs)])
        found[name] = _between(text, f"--baseline {name}", 0.0, largest)
    if not found:
        fail("--baseline", f"is missing: stable's value of at least one of {', '.join(by_name)}")
    return found


def _canaries(
    words: Sequence[str], yardsticks: Sequence[Yardstick], stable: ScoreModel
) -> tuple[list[tuple[Effect, ScoreModel]], list[str]]:
    """Return the canaries, and words about those defaults that cannot be."""
    names = [each.spec.name for each in yardsticks]
    effects = [_effect(word, names) for word in words] or [Effect(size) for size in DEFAULT_EFFECTS]
    found, notes = [], []
    for effect in effects:
        try:
            found.append((effect, canary(yardsticks, stable, effect)))
        except ModelError as error:
            if words:
                fail(f"--effect {effect.words}", error.problem)
            notes.append(f"Effect {effect.words} is left out: {error.problem}.")
    return found, notes


def _effect(word: str, names: Sequence[str]) -> Effect:
    name, equals, text = word.rpartition("=")
    if equals and name not in names:
        fail("--effect", f"{name!r} is not one of {', '.join(names)}")
    if equals:
        return Effect(as_number(text, f"--effect {name}"), name)
    try:
        size = float(word.removesuffix("x"))
    except ValueError:
        size = math.nan
    if not math.isfinite(size):
        fail("--effect", f"{word!r} is neither a number of margins (-2 or -2x) nor NAME=DIFFERENCE")
    return Effect(size)


def _members(word: str) -> tuple[Member, ...]:
    if word.isascii() and word.isdecimal():
        count = int(word)
        if not 1 <= count <= MOST_MEMBERS:
            fail("--members", f"{count} is not between 1 and {MOST_MEMBERS}")
        return tuple(Member(f"member-{place + 1}", 1.0 / count) for place in range(count))
    found: dict[str, float] = {}
    for part in word.split(","):
        name, equals, text = part.strip().partition("=")
        if not equals or not _NAME.fullmatch(name):
            fail("--members", f"{part.strip()!r} is neither a number nor NAME=SHARE")
        if name in found:
            fail("--members", f"{name} is given twice")
        found[name] = _positive(text, f"--members {name}")
    total = sum(found.values())
    if abs(total - 1.0) > 1e-6 or len(found) > MOST_MEMBERS:
        problem = f"the shares sum to {total:g}, not to 1"
        fail("--members", problem if len(found) <= MOST_MEMBERS else f"at most {MOST_MEMBERS}")
    return tuple(Member(name, share / total) for name, share in found.items())


def _notes(trial: Trial, off: Sequence[str]) -> list[str]:
    interval = trial.spec.rollout.analysis.interval_seconds
    traffic, notes = trial.traffic, []
    if off:
        notes.append(
            f"No binormal model has all values that were asked for: {', '.join(off)} is another "
            "one in what follows."
        )
    if trial.spacing != interval:
        notes.append(
            f"Looks are thinned out: one every {trial.spacing} s instead of every {interval} s, "
            f"{len(trial.looks)} in all (--max-looks); ends come up to {trial.spacing} s late."
        )
    rounded = trial.delay * trial.spacing
    if abs(rounded - traffic.label_delay) > 1e-9:
        notes.append(
            f"Labels come {rounded} s after the request: --label-delay in whole looks of "
            f"{trial.spacing} s."
        )
    if traffic.label_coverage < trial.policy.min_label_coverage:
        notes.append(
            f"--label-coverage {traffic.label_coverage:g} is below minLabelCoverage "
            f"{trial.policy.min_label_coverage:g}: every trial holds until its time is over."
        )
    return notes


def _by_name(
    yardsticks: Sequence[Yardstick], model: ScoreModel, stable: ScoreModel
) -> dict[str, float]:
    found = values(yardsticks, model, stable)
    return {each.spec.name: float(v) for each, v in zip(yardsticks, found, strict=True)}


def _positive(text: str, path: str) -> float:
    number = as_number(text, path)
    if number <= 0.0:
        fail(path, f"{number:g} is not above 0")
    return number


def _between(text: str, path: str, low: float, high: float) -> float:
    number = as_number(text, path)
    if not low < number < high:
        fail(path, f"{number:g} is not between {low:g} and {high:g}")
    return number
