"""What Prometheus is asked about drift, and what its answers mean."""

import promql_parser
import pytest

from assay.drift import questions
from assay.drift.questions import Answer, Reference, Revision
from assay.drift.window import Window

OWN = Revision("ml", "fraud", "a1")
SELECTOR = 'namespace="ml",deployment="fraud",revision="a1"'


def row(value: float, **labels: str) -> dict:
    return {"metric": labels, "value": [1700000000, str(value)]}


def test_only_revisions_that_are_watched_are_known():
    rows = [
        row(7, namespace="ml", deployment="fraud", revision="a1"),
        row(9, deployment="nobody's"),
    ]
    assert questions.watched(rows) == {OWN: 7.0}


def test_names_cannot_leave_their_quotes():
    text = questions.reference_text(Revision("ml", 'a"} or b{x="', "a1"))
    assert r'deployment="a\"} or b{x=\""' in text


def test_a_reference_is_read_with_its_quality():
    rows = [
        row(0.25, part="ratio", feature="age", bin="0"),
        row(0.75, part="ratio", feature="age", bin="1"),
        row(4000, part="rows"),
        row(0.8, part="f1", average="Binary"),
        row(1, part="class", **{"class": "bad"}),
    ]
    assert questions.reference(rows) == Reference(
        Window({"age": {"0": 1000.0, "1": 3000.0}}, 4000.0), 0.8, False, frozenset({"bad"})
    )
    assert questions.reference(rows[:2]) is None
    assert questions.reference(rows[2:]) is None


def test_every_window_is_a_difference_of_the_same_processes():
    text = questions.text(OWN, 600, 86_400, ())
    counter = "assay_feature_total{" + SELECTOR + "}"
    for name, offsets in (
        ("day", ("", " offset 86400s")),
        ("present", ("", " offset 600s")),
        ("earlier1", (" offset 86400s", " offset 87000s")),
        ("earlier2", (" offset 172800s", " offset 173400s")),
        ("earlier7", (" offset 604800s", " offset 605400s")),
    ):
        now, then = (f"max by (boot, feature, bin) ({counter}{offset})" for offset in offsets)
        assert (
            f'label_replace(sum by (feature, bin) ({now} - {then}), "part", "{name}", "", "")'
            in text
        )
    assert "outcomes" not in text
    assert 'rollout="idle"' in questions.text(OWN, 600, 86_400, (60,))


def test_what_is_asked_is_promql():
    for text in (
        questions.WATCHED,
        questions.reference_text(OWN),
        questions.text(OWN, 600, 86_400, (60, 86_460)),
    ):
        assert promql_parser.parse(text)


def test_a_window_that_nobody_lived_through_is_none():
    rows = [
        row(30, part="day", feature="age", bin="0"),
        row(30, part="day rows"),
        row(3, part="present", feature="age", bin="0"),
        row(3, part="present rows"),
    ]
    sight = questions.answer(rows, 600, 86_400).sight
    assert (sight.day, sight.present) == (
        Window({"age": {"0": 30.0}}, 30.0),
        Window({"age": {"0": 3.0}}, 3.0),
    )
    assert sight.earlier == (None, None, None)


def test_an_answer_that_is_none_is_refused():
    with pytest.raises(ValueError, match="cannot be read"):
        questions.answer([{"metric": {"part": "day"}}], 600, 86_400)


def labels(at: int, **counts: int) -> list[dict]:
    return [
        row(count, part=f"labels {at}", label=pair[0], predicted=pair[1])
        for pair, count in counts.items()
    ]


KNOWN = Reference(Window({}, 1.0), 0.8, False, frozenset({"b"}))


def test_labels_since_a_start_are_what_was_added_to_the_ledger():
    rows = [*labels(0, aa=100, ab=20, ba=10, bb=50), *labels(60, aa=90, ab=10, bb=30)]
    here = questions.answer(rows, 600, 86_400)
    without = questions.answer(labels(0, aa=5), 600, 86_400)  # its ledger is younger than the start
    [found] = questions.labelled([here, without], KNOWN, (60, 90))
    assert (found.rows, found.seconds) == (50.0, 60)
    assert found.classes == {"b": (20.0, 10.0, 10.0)}
    macro = Reference(Window({}, 1.0), 0.8, True, frozenset())
    [found] = questions.labelled([here], macro, (60,))
    assert found.classes == {"a": (10.0, 10.0, 10.0), "b": (20.0, 10.0, 10.0)}


def test_labels_with_probabilities_are_not_counted_as_if_they_had_none():
    rows = [*labels(0, bb=50), *labels(60, bb=30), row(1, part="weighted")]
    assert questions.labelled([questions.answer(rows, 600, 86_400)], KNOWN, (60,)) == []


def test_estimates_of_members_add_up():
    rows = [
        row(value, part="estimate 60", outcome=outcome, **{"class": "b"})
        for outcome, value in (
            ("TruePositive", 5.5),
            ("FalsePositive", 1.5),
            ("FalseNegative", 2.0),
            ("TrueNegative", 91.0),
        )
    ]
    one = questions.answer(rows, 600, 86_400)
    [found] = questions.estimated([one, Answer(), one], (60, 90))
    assert (found.rows, found.seconds) == (200.0, 60)
    assert found.classes == {"b": (11.0, 3.0, 4.0)}
