"""The exact answer to a placement problem, level by level, by a mixed-integer solver (HiGHS).

Lexicographic order is kept by solving once for each level, with the earlier ones held at what they
can be at best. Weights that stand for an order would have to grow by the product of all ranges, far
beyond the solver's tolerances; this way every number stays a small whole one.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from .problem import Problem, groups, violations
from .shares import cheapest, even, served, settled


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

    def best(self, objectives: list[dict[int, float]]) -> list[int]:
        """Return the variables at the lexicographic minimum."""
        answer = np.zeros(len(self.upper))
        for terms in objectives:
            if not terms:
                continue
            cost = np.zeros(len(self.upper))
            cost[list(terms)] = list(terms.values())
            shape = (len(self.low), len(self.upper))
            matrix = coo_array((self.values, (self.rows, self.columns)), shape=shape).tocsr()
            found = milp(
                cost,
                integrality=np.array(self.whole),
                bounds=Bounds(0, np.array(self.upper)),
                constraints=LinearConstraint(matrix, self.low, self.high),
                options={"mip_rel_gap": 0.0},
            )
            if found.x is None:
                raise SolverError(found.message)
            answer = np.round(found.x)
            self.bind(terms, high=float(cost @ answer))
        return [int(value) for value in answer]


def _count_groups(program: _Program, problem: Problem, serves: dict[str, int]) -> dict[int, float]:
    """Bind the groups that serve to the members that do; return the sum of all violations.

    A group is counted by a variable that is 1 if one of its members serves and 0 if none does.
    Slots with a number of their own serve in any case, if they have room.
    """
    off: dict[int, float] = {}
    always = {name for name, share in problem.own.items() if share > 0}
    for index, spread in enumerate(problem.spread):
        members: dict[str, list[int]] = {}
        for slot in problem.open:
            members.setdefault(slot.groups[index], []).append(serves[slot.name])
        certain = {slot.groups[index] for slot in problem.slots if slot.name in always}
        used: dict[int, float] = {}
        for group, variables in sorted(members.items()):
            if group in certain:
                continue
            counted = program.variable(1, whole=False)
            used[counted] = 1.0
            for variable in variables:
                program.bind({counted: 1, variable: -1}, low=0)
            program.bind({counted: 1, **dict.fromkeys(variables, -1.0)}, high=0)
        missing = program.variable()
        program.bind({**used, missing: 1}, low=spread.least - len(certain))
        off[missing] = 1
        if spread.most is not None:
            beyond = program.variable()
            program.bind({**used, beyond: -1}, high=spread.most - len(certain))
            off[beyond] = 1
    return off


def _spread(problem: Problem) -> dict[str, int]:
    program = _Program()
    slots = problem.open
    rank = {slot.name: index for index, slot in enumerate(problem.slots)}
    serves = {slot.name: program.variable(1) for slot in slots}
    room = {serves[slot.name]: float(min(slot.room, problem.rest)) for slot in slots}
    missing = program.variable()
    program.bind({**room, missing: 1}, low=problem.rest)
    off = _count_groups(program, problem, serves)
    answer = program.best(
        [
            {missing: 1},
            off,
            {serves[slot.name]: -1 for slot in slots if slot.held > 0},
            {serves[slot.name]: -1 for slot in slots},
            {serves[slot.name]: -float(slot.room) for slot in slots},
            {serves[slot.name]: float(rank[slot.name]) for slot in slots},
        ]
    )
    return even(problem, [slot for slot in slots if answer[serves[slot.name]]])


def _cheapest(problem: Problem) -> dict[str, int]:
    program = _Program()
    slots = problem.open
    rank = {slot.name: index for index, slot in enumerate(problem.slots)}
    serves = {slot.name: program.variable(1) for slot in slots}
    shares = {slot.name: program.variable(min(slot.room, problem.rest)) for slot in slots}
    new = {slot.name: program.variable(whole=False) for slot in slots}
    for slot in slots:
        share, used = shares[slot.name], serves[slot.name]
        program.bind({share: 1, used: -1}, low=0)
        program.bind({share: 1, used: -float(min(slot.room, problem.rest))}, high=0)
        program.bind({new[slot.name]: 1, share: -1}, low=-slot.held)
    program.bind(dict.fromkeys(shares.values(), 1.0), high=problem.rest)
    off = _count_groups(program, problem, serves)
    answer = program.best(
        [
            dict.fromkeys(shares.values(), -1.0),
            off,
            dict.fromkeys(new.values(), 1.0),
            {shares[slot.name]: float(slot.cost) for slot in slots},
            {shares[slot.name]: float(rank[slot.name]) for slot in slots},
        ]
    )
    return problem.own | {name: answer[variable] for name, variable in shares.items()}
