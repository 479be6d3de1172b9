"""The exact answer to a placement problem, level by level, by a mixed-integer solver (HiGHS).

Lexicographic order is kept by solving once for each level, with the earlier ones held at what they
can be at best. Weights that stand for an order would have to grow by the product of all ranges, far
beyond the solver's tolerances; this way every number stays a small whole one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from .problem import Problem, Slot, groups, violations
from .shares import cheapest, even, served, settled

CLUSTER = "Cluster"
"""The spread field by which each member is a group of its own."""


class SolverError(Exception):
    """HiGHS found no answer although there is one: a bug."""


def solve(problem: Problem) -> dict[str, int]:
    """Return the best shares (see `problem`), by the shortest way that is provably exact.

    Where every open slot can serve without too many groups, or the cheapest answer breaks no
    spread constraint, that answer is best in the levels that look at groups, and no later level
    can find a better one: the solver is not needed.

    Raises
    ------
    SolverError
        Never, as far as is known.
    """
    if problem.on_trial:
        return served(settled(problem))
    if problem.cheapest:
        shares = cheapest(problem)
        return served(solve_exactly(problem) if any(violations(problem, shares)) else shares)
    names = {*problem.own, *(slot.name for slot in problem.open)}
    found = groups(problem, names)
    too_many = any(
        spread.most is not None and len(used) > spread.most
        for spread, used in zip(problem.spread, found, strict=True)
    )
    return served(solve_exactly(problem) if too_many else even(problem, problem.open))


def solve_exactly(problem: Problem) -> dict[str, int]:
    """Return the best shares outside of a trial by the solver alone."""
    return _cheapest(problem) if problem.cheapest else _spread(problem)


@dataclass
class _Program:
    """Variables, constraints and levels of a mixed-integer program.

    Every variable is a whole number, or follows from those that are.
    """

    upper: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def variable(self, upper: float = np.inf, *, whole: bool = True) -> int:
        """Return a new variable from 0 to `upper`."""
        self.upper.append(upper)
        self.whole.append(int(whole))
        return len(self.upper) - 1

    def bind(self, terms: dict[int, float], low: float = -np.inf, high: float = np.inf) -> None:
        """Keep a sum of variables, each times its coefficient, within bounds."""
        for column, value in terms.items():
            self.rows.append(len(self.low))
            self.columns.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)

    def best(
        self, hoped: list[tuple[dict[int, float], int]], others: list[dict[int, float]]
    ) -> list[int]:
        """Return the variables at the lexicographic minimum.

        Parameters
        ----------
        hoped
            The first levels, each with what it cannot be below. Mostly all of them can be just that
            at once, and then need not be solved for.
        """
        entries, rows = len(self.values), len(self.low)
        for terms, least in hoped:
            self.bind(terms, high=least)
        try:
            return self._in_turn(others)
        except SolverError:
            for items in (self.rows, self.columns, self.values):
                del items[entries:]
            del self.low[rows:], self.high[rows:]
            return self._in_turn([*(terms for terms, _ in hoped), *others])

    def _in_turn(self, objectives: list[dict[int, float]]) -> list[int]:
        answer = np.zeros(len(self.upper))
        for terms in objectives:
            if not terms:
                continue
            cost = np.zeros(len(self.upper))
            cost[list(terms)] = list(terms.values())
            shape = (len(self.low), len(self.upper))
            matrix = scipy.sparse.coo_array(
                (self.values, (self.rows, self.columns)), shape=shape
            ).tocsr()
            found = scipy.optimize.milp(
                cost,
                integrality=np.array(self.whole),
                bounds=scipy.optimize.Bounds(0, np.array(self.upper)),
                constraints=scipy.optimize.LinearConstraint(matrix, self.low, self.high),
                options={"mip_rel_gap": 0.0},
            )
            if found.x is None:
                raise SolverError(found.message)
            answer = np.round(found.x)
            self.bind(terms, high=float(cost @ answer))
        return [int(value) for value in answer]


@dataclass(frozen=True)
class _Cell:
    """Open slots that are alike to all spread constraints.

    Which of them serve changes no group, so a cell is decided upon as a whole: under Spread all of
    its members serve or none (more members are better), and under Cheapest its replicas go where
    they cost least.
    """

    groups: tuple[str, ...]
    slots: tuple[Slot, ...]

    @property
    def room(self) -> int:
        return sum(slot.room for slot in self.slots)


def _cells(problem: Problem) -> list[_Cell]:
    found: dict[tuple[str, ...], list[Slot]] = {}
    for slot in _promising(problem):
        found.setdefault(slot.groups, []).append(slot)
    return [_Cell(key, tuple(slots)) for key, slots in found.items()]


def _promising(problem: Problem) -> Iterable[Slot]:
    """Return the open slots without those that the best answer never needs.

    Only where members are counted one by one, and every cell is a single slot. A slot that runs
    nothing is needless behind enough others of the same provider, region and zone which have as
    much room and cost as little: if one of them is idle it can take all of the slot's replicas, and
    if none is, then together they have room for all replicas that there are, and are enough for the
    constraint. Each such exchange leads to an earlier slot, so in the end no needless one serves.
    """
    fields = [spread.field for spread in problem.spread]
    if CLUSTER not in fields:
        return problem.open
    index = fields.index(CLUSTER)
    limit = problem.spread[index]
    enough = limit.least if problem.cheapest else limit.most
    if enough is None:
        return problem.open
    before: dict[tuple[str, ...], list[int]] = {}
    kept = []
    for slot in sorted(
        problem.open, key=lambda slot: (slot.cost if problem.cheapest else 0, slot.name)
    ):
        earlier = before.setdefault((*slot.groups[:index], *slot.groups[index + 1 :]), [])
        rooms = [room for room in earlier if room >= slot.room]
        if slot.held > 0 or len(rooms) < enough or sum(rooms) < problem.rest:
            kept.append(slot)
        earlier.append(slot.room)
    return kept


def _count_groups(
    program: _Program, problem: Problem, serves: Sequence[tuple[_Cell, int]]
) -> dict[int, float]:
    """Bind the groups that serve to the cells that do; return the sum of all violations.

    A group is counted by a variable that is 1 if one of its cells serves and 0 if none does. Slots
    with a number of their own serve in any case, if they have room.
    """
    off: dict[int, float] = {}
    always = {name for name, share in problem.own.items() if share > 0}
    for index, spread in enumerate(problem.spread):
        certain = {slot.groups[index] for slot in problem.slots if slot.name in always}
        members: dict[str, list[int]] = {}
        for cell, variable in serves:
            members.setdefault(cell.groups[index], []).append(variable)
        used = {
            _any(program, variables): 1.0
            for group, variables in members.items()
            if group not in certain
        }
        missing = program.variable()
        program.bind({**used, missing: 1}, low=spread.least - len(certain))
        off[missing] = 1
        if spread.most is not None:
            beyond = program.variable()
            program.bind({**used, beyond: -1}, high=spread.most - len(certain))
            off[beyond] = 1
    return off


def _any(program: _Program, variables: Sequence[int]) -> int:
    """Return a variable that is 1 if any of these is, else 0."""
    if len(variables) == 1:
        return variables[0]
    counted = program.variable(1, whole=False)
    for variable in variables:
        program.bind({counted: 1, variable: -1}, low=0)
    program.bind({counted: 1, **dict.fromkeys(variables, -1.0)}, high=0)
    return counted


def _spread(problem: Problem) -> dict[str, int]:
    program = _Program()
    rank = {slot.name: index for index, slot in enumerate(problem.slots)}
    serves = [(cell, program.variable(1)) for cell in _cells(problem)]
    room = {variable: float(cell.room) for cell, variable in serves}
    # Level 1: what there is room for at all finds its place.
    program.bind(room, low=min(problem.rest, sum(room.values())))
    # Levels 3 and 4 at once: no number of members outweighs one that is left.
    members = len(problem.open) + 1
    answer = program.best(
        [(_count_groups(program, problem, serves), 0)],
        [
            {
                variable: -float(
                    members * sum(slot.held > 0 for slot in cell.slots) + len(cell.slots)
                )
                for cell, variable in serves
            },
            {variable: -weight for variable, weight in room.items()},
            {
                variable: float(sum(rank[slot.name] for slot in cell.slots))
                for cell, variable in serves
            },
        ],
    )
    chosen = [slot for cell, variable in serves if answer[variable] for slot in cell.slots]
    return even(problem, chosen)


def _cheapest(problem: Problem) -> dict[str, int]:
    program = _Program()
    rank = {slot.name: index for index, slot in enumerate(problem.slots)}
    wanted = min(problem.rest, sum(slot.room for slot in problem.open))
    serves = []
    pieces: list[tuple[Slot, bool, int]] = []
    for cell in _cells(problem):
        used = program.variable(1)
        serves.append((cell, used))
        inside = [
            (slot, new, program.variable(size)) for slot, new, size in _pieces(cell, rank, wanted)
        ]
        pieces += inside
        placed = {variable: 1.0 for *_, variable in inside}
        program.bind({**placed, used: -1}, low=0)
        program.bind({**placed, used: -float(min(cell.room, wanted))}, high=0)
    # Level 1: what there is room for at all finds its place.
    program.bind({variable: 1.0 for *_, variable in pieces}, low=wanted, high=wanted)
    kept = sum(min(slot.held, slot.room) for slot in problem.open)
    answer = program.best(
        [
            (_count_groups(program, problem, serves), 0),
            ({variable: 1.0 for _, new, variable in pieces if new}, max(wanted - kept, 0)),
        ],
        [
            {variable: float(slot.cost) for slot, _, variable in pieces},
            {variable: float(rank[slot.name]) for slot, _, variable in pieces},
        ],
    )
    shares = Counter(problem.own)
    for slot, _, variable in pieces:
        shares[slot.name] += answer[variable]
    return dict(shares)


def _pieces(cell: _Cell, rank: Mapping[str, int], wanted: int) -> Iterator[tuple[Slot, bool, int]]:
    """Yield (slot, whether new pods, how many at most), best first, until there are enough.

    However many replicas the cell gets, they are best in this order, so the rest is never used.
    """
    found = []
    for slot in cell.slots:
        kept = min(slot.held, slot.room)
        found += [(slot, False, kept), (slot, True, slot.room - kept)]
    for slot, new, size in sorted(
        found, key=lambda piece: (piece[1], piece[0].cost, rank[piece[0].name])
    ):
        if wanted > 0 and size > 0:
            yield slot, new, min(size, wanted)
            wanted -= size
