"""The page fits 80 columns; without a terminal the same story is told in lines."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from demo.evidence import Look, MetricPoint
from demo.view import LiveView, PlainView, Scene, Traffic, choose, page

POINT = MetricPoint(0.884, 0.796, -0.088, -0.171, -0.004, -4.2, 4.4, 3.0, 3.9)
SCENE = Scene(
    chapter="version 2 on trial (it is worse)",
    stable="1",
    canary="2",
    stage="Trial",
    steps=(10, 50),
    step=0,
    look=Look(
        at=0.0,
        step=0,
        weight=10,
        labels=(12_345, 1_234),
        verdict="Rollback",
        reason="Worse",
        message="",
        metrics={"f1": POINT, "auc": replace(POINT, log_e_rollback=None)},
    ),
    traffic=Traffic(123_456, 0, 99_999, {"1": 0.9, "2": 0.1}),
    members=("east: 2 of 2 pods ready, canary gets 10 %", "west: " + "long " * 40),
    events=tuple(f"Step: event {number} " + "words " * 30 for number in range(9)),
)


def test_the_page_fits_80_columns() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(page(SCENE, 83.0))
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 24
    text = "\n".join(lines)
    for words in (
        "1:23",
        "version 2 on trial",
        "0.796",
        "4.4 of 3.9",
        "Rollback Worse",
        "0 failed",
    ):
        assert words in text
    assert "-0.088 [-0.171, -0.004]" in text


def test_a_scene_without_anything_is_a_page_too() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(page(Scene("start"), 0.0))


def test_lines_say_what_changed_and_nothing_twice() -> None:
    output = io.StringIO()
    with PlainView(Console(file=output, width=200)) as view:
        view.show(SCENE)
        view.show(SCENE)
        view.show(replace(SCENE, step=1, events=(*SCENE.events, "Promoted: done")))
        view.note("the end")
    text = output.getvalue()
    assert text.count("event: Step: event 3") == 1
    assert text.count("Rollback (Worse)") == 2
    assert "step 2/2 (50 %)" in text
    assert "event: Promoted: done" in text
    assert text.rstrip().endswith("the end")


@pytest.mark.parametrize(("terminal", "kind"), [(True, LiveView), (False, PlainView)])
def test_the_view_is_chosen_by_the_console(*, terminal: bool, kind: type) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal)
    view = choose(console)
    assert isinstance(view, kind)
    with view:
        view.show(SCENE)
        view.note("a note")
