"""Who is asked about drift, how often, and what becomes of the answer."""

import asyncio
import dataclasses
import datetime
import json
import logging
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from assay.api.conditions import ConditionType
from assay.controller import drift, logs, metrics
from assay.controller.cloudevents import cloud_event
from assay.controller.drift import ABSENT_LOOKS, NEW_ROWS, PATIENCE_LOOKS, Drifts
from assay.controller.hub import deployment
from assay.controller.memory import Memory
from assay.drift import questions
from assay.evidence import EvidenceUnavailable
from assay.rollout.observation import Event, Signal, Signals

from .test_reconcile import STABLE, a_trial

FLAT, MOVED = [1000.0] * 10, [1600.0] * 5 + [400.0] * 5


def row(value: float, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [1700000000, str(value)]}


@dataclass
class Member:
    """A member whose servers watch one feature of some ModelDeployments."""

    name: str = "east"
    watches: tuple[str, ...] = ("fraud",)
    rows: float = 10_000.0
    day: list[float] = field(default_factory=lambda: FLAT)
    quality: float | None = None
    labels: tuple[float, float] = (0.0, 0.0)
    fails: bool = False
    state: Any = field(default_factory=lambda: types.SimpleNamespace(reachable=True))
    asked: list[str] = field(default_factory=list)

    async def vector(self, key: tuple[str, ...], promql: str, limit: int) -> Sequence[Any]:
        self.asked.append(promql)
        if self.fails:
            raise EvidenceUnavailable("PrometheusUnreachable", "no answer")
        if promql == questions.WATCHED:
            own = {"namespace": "ml", "revision": STABLE["revision"]}
            return [row(self.rows, deployment=name, **own) for name in self.watches]
        bins = list(enumerate(self.day))
        if "reference_ratio" in promql:
            known = [row(0.1, part="ratio", feature="age", bin=str(place)) for place, _ in bins]
            known += [row(50_000, part="rows"), row(1, part="class", **{"class": "bad"})]
            if self.quality is not None:
                known.append(row(self.quality, part="f1", average="Binary"))
            return known
        found = [row(count, part="day", feature="age", bin=str(place)) for place, count in bins]
        found.append(row(sum(self.day), part="day rows"))
        for part in promql.split('"part", "')[1:]:
            name, _, start = part.partition('"')[0].partition(" ")
            if name == "labels":
                right, wrong = (0.0, 0.0) if start != "0" else self.labels
                found.append(row(right, part=f"labels {start}", label="bad", predicted="bad"))
                found.append(row(wrong, part=f"labels {start}", label="bad", predicted="good"))
        return found


class Scene:
    """A task that asks some members about some ModelDeployments, all due at once."""

    def __init__(self, *members: Member, names: Sequence[str] = ("fraud",)) -> None:
        self.members = members
        self.memories: dict[tuple[str, str], Memory] = {}
        for name in names:
            document = a_trial()
            document["metadata"]["name"] = name
            item = deployment(document)
            status = item.status.model_copy(update={"conditions": ()})
            self.memories["ml", name] = Memory(last=dataclasses.replace(item, status=status))
        self.woken: list[str] = []
        registry: Any = types.SimpleNamespace(
            all=lambda: members,
            get=lambda name: next((each for each in members if each.name == name), None),
        )
        self.drifts = Drifts(
            registry, lambda: list(self.memories.items()), lambda _, name: self.woken.append(name)
        )

    async def look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look once at everything, as after five minutes."""
        monkeypatch.setattr(drift, "_pace", lambda _: 0.0)
        await self.drifts.round()
        self.drifts._listed = -1e9

    def says(self, kind: ConditionType = ConditionType.DRIFT_DETECTED) -> Signal | None:
        signals = self.memories["ml", "fraud"].signals
        return None if signals is None else signals.said.get(kind)


def looked(monkeypatch: pytest.MonkeyPatch, scene: Scene, *turns: dict[str, Any]) -> Scene:
    async def scenario() -> None:
        for turn in turns:
            for name, value in turn.items():
                setattr(scene.members[0], name, value)
            await scene.look(monkeypatch)

    asyncio.run(scenario())
    return scene


def test_a_thousand_that_nobody_watches_cost_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    east, west = Member("east", watches=()), Member("west", watches=())
    scene = Scene(east, west, names=[f"m{number}" for number in range(1000)])
    looked(monkeypatch, scene, {})
    assert east.asked == west.asked == [questions.WATCHED]
    assert scene.woken == []
    assert len(east.asked) == 1


def test_only_what_is_watched_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    east, west = Member("east"), Member("west", watches=())
    looked(monkeypatch, Scene(east, west, names=("fraud", "other")), {})
    assert len(east.asked) == 3
    assert all('deployment="fraud"' in text for text in east.asked[1:])
    assert len(west.asked) == 1


def test_drift_is_said_once_with_its_numbers_and_wakes_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(Member())
    looked(monkeypatch, scene, {})
    said = scene.says()
    assert said is not None
    assert (said.detected, said.reason, scene.woken) == (False, "NoDrift", ["fraud"])
    looked(monkeypatch, scene, *({"day": MOVED, "rows": 1000.0 * turn} for turn in range(20, 24)))
    said = scene.says()
    assert said is not None
    assert (said.detected, said.reason) == (True, "DiffersFromTraining")
    assert said.message.startswith("feature age: PSI 0.")
    features: Any = said.data["features"]
    [feature] = features
    assert (feature["feature"], feature["rows"]) == ("age", 10_000)
    assert scene.woken == ["fraud"] * 2
    shown = metrics.REGISTRY.get_sample_value
    own = {"namespace": "ml", "deployment": "fraud"}
    assert shown("assay_drift_detected", own) == 1.0
    metrics.forget("ml", "fraud")  # a trial that is over
    assert shown("assay_drift_detected", own) == 1.0
    looked(monkeypatch, scene, {"day": FLAT, "rows": 90_000.0})
    assert scene.woken == ["fraud"] * 3
    assert shown("assay_drift_detected", own) == 0.0


def test_where_no_rows_come_nothing_is_asked_but_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = looked(monkeypatch, Scene(Member()), {})
    east = scene.members[0]
    east.asked.clear()
    looked(monkeypatch, scene, *({"rows": 10_000.0 + NEW_ROWS - 1},) * PATIENCE_LOOKS)
    assert set(east.asked) == {questions.WATCHED}
    looked(monkeypatch, scene, {})
    assert east.asked[-1] != questions.WATCHED


def test_without_an_answer_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = looked(monkeypatch, Scene(Member()), {"day": MOVED})
    before = scene.says()
    looked(monkeypatch, scene, {"fails": True, "rows": 50_000.0})
    assert scene.says() is before
    assert scene.woken == ["fraud"]


def test_what_is_not_watched_any_more_is_not_said_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = ({"watches": ()},) * (ABSENT_LOOKS - 1)
    scene = looked(monkeypatch, Scene(Member()), {"day": MOVED}, *turns)
    assert scene.says() is not None, "all pods may be new for a moment"
    looked(monkeypatch, scene, {})
    assert scene.says() is None
    assert scene.woken == ["fraud"] * 2


def test_decay_is_said_where_the_reference_has_a_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = looked(monkeypatch, Scene(Member()), {"quality": 0.9, "labels": (300.0, 400.0)})
    said = scene.says(ConditionType.QUALITY_DECAYED)
    assert said is not None
    assert (said.detected, said.reason) == (True, "LabelledQualityFell")
    assert "F1 by live labels is 0.600" in said.message
    numbers: Any = said.data["labels"]
    assert (numbers["f1"], said.data["reference"], said.data["margin"]) == (0.6, 0.9, 0.05)


def test_periods_begin_at_the_same_times_whoever_asks_when() -> None:
    day = 86_400
    assert drift._starts(10 * day + 3600.4, day) == tuple(3600 + day * past for past in range(7))
    assert drift._starts(10.0 * day, day)[0] == day


def test_a_signal_that_turned_is_one_line_that_is_a_cloudevent() -> None:
    item = deployment(a_trial())
    told = Event(
        "Warning", "DiffersFromTraining", "feature age: PSI 0.41", "dev.assay.drift.detected"
    )
    signal = Signal(True, told.reason, told.message, {"features": [{"feature": "age"}]})
    seen = Signals(STABLE["revision"], {ConditionType.DRIFT_DETECTED: signal})
    now = datetime.datetime(2026, 11, 27, 3, 0, tzinfo=datetime.UTC)
    record = logging.makeLogRecord({logs.CLOUDEVENT: cloud_event(item, told, seen, now)})
    line = json.loads(logs.JsonFormatter().format(record))
    assert line == {
        "specversion": "1.0",
        "id": f"{item.uid}/DriftDetected/DiffersFromTraining/2026-11-27T03:00:00Z",
        "source": "/apis/assay.dev/v1alpha1/namespaces/ml/modeldeployments/fraud",
        "type": "dev.assay.drift.detected",
        "subject": STABLE["revision"],
        "time": "2026-11-27T03:00:00.000000Z",
        "datacontenttype": "application/json",
        "data": {
            "namespace": "ml",
            "name": "fraud",
            "version": "8",
            "digest": STABLE["digest"],
            "condition": "DriftDetected",
            "reason": "DiffersFromTraining",
            "message": "feature age: PSI 0.41",
            "features": [{"feature": "age"}],
        },
    }
