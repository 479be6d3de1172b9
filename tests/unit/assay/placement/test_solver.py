"""The best shares: compared with trying everything, and the short ways with the solver."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.placement.problem import Problem, Slot, Spread, levels, scaled, short
from assay.placement.shares import Bounds, fill
from assay.placement.solver import solve, solve_exactly

ROOM = 3


@st.composite
def problems(draw: st.DrawFn, *, most_slots: int = 4, most_room: int = ROOM) -> Problem:
    """Small problems in which everything can be tried."""
    spread = draw(
        st.lists(
            st.builds(
                lambda field, least, more: Spread(
                    field, least, None if more is None else least + more
                ),
                st.sampled_from(["Provider", "Region", "Cluster"]),
                st.integers(1, 3),
                st.none() | st.integers(0, 1),
            ),
            max_size=2,
            unique_by=lambda item: item.field,
        )
    )
    slots = [
        Slot(
            name,
            room=draw(st.integers(0, most_room)),
            held=draw(st.sampled_from([0, 0, 1, 2, most_room])),
            fixed=draw(st.sampled_from([None, None, None, 1, 2])),
            cost=draw(st.integers(0, 3)),
            groups=tuple(
                name if item.field == "Cluster" else draw(st.sampled_from("xyz")) for item in spread
            ),
        )
        for name in "abcdefgh"[: draw(st.integers(0, most_slots))]
    ]
    own = sum(slot.fixed or 0 for slot in slots)
    return Problem(
        draw(st.integers(max(own, 1), max(own, 6))),
        tuple(draw(st.permutations(slots))),
        tuple(spread),
        cheapest=draw(st.booleans()),
        on_trial=draw(st.sampled_from([False, False, True])),
    )


def allowed(problem: Problem) -> Iterator[dict[str, int]]:
    """Every answer that keeps to the room, to numbers of their own and to the total."""
    ranges = [
        [min(slot.fixed, slot.room)] if slot.fixed is not None else range(slot.room + 1)
        for slot in problem.slots
    ]
    for shares in itertools.product(*ranges):
        answer = {slot.name: share for slot, share in zip(problem.slots, shares, strict=True)}
        rest = [answer[slot.name] for slot in problem.open]
        one_each = not (problem.cheapest and not problem.on_trial)
        total = max(problem.rest, sum(share > 0 for share in rest)) if one_each else problem.rest
        if sum(rest) <= total:
            yield answer


@settings(max_examples=150, deadline=None)
@given(problems())
def test_nothing_is_better(problem: Problem) -> None:
    best = min(levels(problem, answer) for answer in allowed(problem))
    found = levels(problem, solve(problem))
    settled_first = 6 if not problem.cheapest and not problem.on_trial else len(best)

    assert found[:settled_first] == best[:settled_first]


@settings(max_examples=60, deadline=None)
@given(problems())
def test_shares_are_the_most_even_ones_of_the_members_that_serve(problem: Problem) -> None:
    found = solve(problem)
    if problem.cheapest or problem.on_trial:
        return
    same = (
        answer for answer in allowed(problem) if {n for n, s in answer.items() if s} == set(found)
    )
    best = min(
        levels(problem, answer)[-2:]
        for answer in same
        if not short(problem, answer) > short(problem, found)
    )

    assert levels(problem, found)[-2:] == best


@settings(max_examples=60, deadline=None)
@given(problems(most_slots=8, most_room=20))
def test_the_short_way_is_as_good_as_the_solver(problem: Problem) -> None:
    if not problem.on_trial:
        assert levels(problem, solve(problem)) == levels(problem, solve_exactly(problem))


@settings(max_examples=100, deadline=None)
@given(problems(most_slots=8, most_room=20))
def test_the_order_of_the_slots_does_not_matter(problem: Problem) -> None:
    other = Problem(
        problem.replicas,
        tuple(reversed(problem.slots)),
        problem.spread,
        problem.cheapest,
        problem.on_trial,
    )

    assert solve(other) == solve(problem)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 30), st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=6))
def test_filling_keeps_to_bounds_and_total(total: int, rows: list[tuple[int, int, int]]) -> None:
    items = [
        Bounds(Slot(f"m{index}", low + more, held), low, low + more)
        for index, (low, more, held) in enumerate(rows)
    ]
    shares = fill(total, items)

    low, high = sum(item.low for item in items), sum(item.high for item in items)
    assert sum(shares.values()) == min(max(total, low), high)
    assert all(item.low <= shares[item.slot.name] <= item.high for item in items)


def members(
    *rooms: int, held: tuple[int, ...] = (0,) * 6, cost: tuple[int, ...] = (0,) * 6
) -> tuple[Slot, ...]:
    rows = zip("abcdef", rooms, held, cost, strict=False)
    return tuple(Slot(name, room, now, cost=price) for name, room, now, price in rows)


@pytest.mark.parametrize(
    ("problem", "shares"),
    [
        pytest.param(Problem(4, members(9, 9)), {"a": 2, "b": 2}, id="even"),
        pytest.param(Problem(5, members(9, 9)), {"a": 3, "b": 2}, id="the first gets more"),
        pytest.param(
            Problem(5, members(9, 9, held=(2, 3))), {"a": 2, "b": 3}, id="but not by a move"
        ),
        pytest.param(
            Problem(1, members(9, 9, 9)), {"a": 1, "b": 1, "c": 1}, id="everyone gets one"
        ),
        pytest.param(Problem(3, ()), {}, id="nobody gets nothing"),
        pytest.param(Problem(9, members(1, 9, 9)), {"a": 1, "b": 4, "c": 4}, id="as room is"),
        pytest.param(
            Problem(9, members(2, 3)), {"a": 2, "b": 3}, id="as many as there is room for"
        ),
        pytest.param(
            Problem(4, members(9, 9, held=(4, 0)), on_trial=True), {"a": 4}, id="a trial stays put"
        ),
        pytest.param(
            Problem(6, members(9, 9, 9, held=(2, 2, 0)), on_trial=True),
            {"a": 3, "b": 3},
            id="a trial grows where it is",
        ),
        pytest.param(
            Problem(8, members(3, 3, 9, held=(2, 2, 0)), on_trial=True),
            {"a": 3, "b": 3, "c": 2},
            id="a trial joins only who is needed",
        ),
        pytest.param(
            Problem(3, members(9, 9, 9, cost=(3, 1, 2)), cheapest=True), {"b": 3}, id="cheapest"
        ),
        pytest.param(
            Problem(3, members(9, 2, 9, cost=(3, 1, 2)), cheapest=True),
            {"b": 2, "c": 1},
            id="cheapest with room",
        ),
        pytest.param(
            Problem(3, members(9, 9, held=(3, 0), cost=(3, 1)), cheapest=True),
            {"a": 3},
            id="no move for the price",
        ),
        pytest.param(
            Problem(2, members(9, 9, held=(2, 1), cost=(3, 1)), cheapest=True),
            {"a": 1, "b": 1},
            id="the dearest go first",
        ),
    ],
)
def test_shares(problem: Problem, shares: dict[str, int]) -> None:
    assert solve(problem) == shares


def test_costs_keep_six_digits_and_none_is_dearer_than_any() -> None:
    assert scaled([31, None, 40]) == [31, 41, 40]
    assert scaled([2_000_001, None, 3_000_000]) == [666_667, 1_000_001, 1_000_000]
    assert scaled([None, None]) == [1, 1]
