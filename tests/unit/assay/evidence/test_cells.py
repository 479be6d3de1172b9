"""Score counts that are kept for long say what the dictionary said."""

from hypothesis import given
from hypothesis import strategies as st

from assay.evidence.cells import ScoreCells, columns

KEYS = st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(0, 1023))
ROWS = st.dictionaries(KEYS, st.integers(0, 1 << 40), max_size=60)


@given(ROWS, st.sampled_from([1, 4, 1024]))
def test_they_are_the_sums_of_neighbours(rows, factor):
    wanted = {}
    for (name, label, place), count in rows.items():
        key = (name, label, place // factor)
        wanted[key] = wanted.get(key, 0) + count

    cells = ScoreCells.merged(rows, factor)

    assert dict(cells.items()) == wanted
    assert (len(cells), set(cells)) == (len(wanted), set(wanted))
    assert cells == wanted
    assert all(cells[key] == count for key, count in wanted.items())
    assert cells.get(("a", "d", 3), 0) == cells.get(("a", "a", 5000), 0) == 0
    assert columns(cells).keys() == {(name, label) for name, label, _ in wanted}


@given(ROWS, ROWS)
def test_they_have_grown_when_no_count_is_smaller(earlier, later):
    both = {key: earlier.get(key, 0) + later.get(key, 0) for key in earlier | later}
    for first, second in ((earlier, later), (earlier, both), (both, earlier), (earlier, earlier)):
        grown = all(count <= second.get(key, 0) for key, count in first.items())
        assert ScoreCells.merged(second, 1).grown_from(ScoreCells.merged(first, 1)) is grown
