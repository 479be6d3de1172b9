"""Scored rows come back as they were, from memory or from a file."""

import numpy as np

from assay_server.models.scores import ScoreKind
from assay_workbench.sample import Answers, Part, Sample


def part(rows, start):
    labels = np.arange(start, start + rows) % 3
    scores = np.arange(3.0 * rows).reshape(rows, 3) + start
    return Part(labels, (Answers(labels[::-1].copy(), scores), Answers(labels, None)))


def test_rows_beyond_the_memory_go_to_a_file_and_come_back_in_order():
    parts = [part(10, start) for start in range(0, 60, 10)]
    kinds = (ScoreKind.PROBABILITY, None)
    with Sample(("a", "b", "c"), None, kinds, memory=1200) as sample:
        for place, each in enumerate(parts):
            sample.append(each)
            assert sample.rows == 10 * (place + 1)
            found = list(sample.parts())  # also between two that are taken in
            assert len(found) == place + 1
        assert sample.spilled
        for one, other in zip(parts, sample.parts(), strict=True):
            np.testing.assert_array_equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.answers[0].scores, other.answers[0].scores)
            np.testing.assert_array_equal(one.answers[0].predicted, other.answers[0].predicted)
            assert other.answers[1].scores is None


def test_few_rows_stay_in_memory():
    with Sample(("a", "b", "c"), None, (ScoreKind.PROBABILITY, None)) as sample:
        sample.append(part(10, 0))
        assert not sample.spilled
        assert len(list(sample.parts())) == 1
