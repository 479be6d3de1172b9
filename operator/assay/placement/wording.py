"""What is said of a placement that does not work out, for people."""

from collections.abc import Collection, Iterable, Mapping

from .choice import Choice, Constraint
from .problem import Problem, Spread, groups, short, violations

_LISTED = 6
"""At most so many members are named one by one."""


def message(
    problem: Problem,
    shares: Mapping[str, int],
    choice: Choice,
    taken: Mapping[str, int],
    alone: Collection[Constraint],
    together: Collection[Constraint],
) -> str:
    """Return what is missing, what each member has room for, and what to change."""
    words = []
    if missing := short(problem, shares):
        wanted = problem.replicas
        words.append(
            f"{_replicas(wanted)} wanted, members allow {max(wanted - missing, 0)}"
            + _of(listed(_room(problem, taken)))
        )
    used = groups(problem, shares)
    for spread, off, found in zip(problem.spread, violations(problem, shares), used, strict=True):
        if off:
            words.append(_spread(spread, off, found))
    if alone:
        words.append(f"It would fit without {' or without '.join(item.value for item in alone)}")
    elif together:
        words.append(f"It would fit without {' and '.join(item.value for item in together)}")
    if choice.refused:
        words.append(f"Refused: {listed(item.message for item in choice.refused)}")
    return ". ".join(words)


def summary(shares: Mapping[str, int]) -> str:
    """Return where the replicas are."""
    where = listed(f"{name} {share}" for name, share in shares.items())
    return _replicas(sum(shares.values())) + _of(where)


def _room(problem: Problem, taken: Mapping[str, int]) -> Iterable[str]:
    for slot in problem.slots:
        others = taken.get(slot.name, 0)
        room = f"{slot.name} {slot.room}"
        room += f" beside {others} of others" if others else ""
        room += f", {slot.fixed} by override" if slot.fixed is not None else ""
        yield room


def _spread(spread: Spread, off: int, found: Collection[str]) -> str:
    names = listed(sorted(group or "(not named)" for group in found)) or "none"
    limit = f"at least {spread.least}" if off < 0 else f"at most {spread.most}"
    return f"Spread by {spread.field}: {limit} wanted, in use {len(found)}: {names}"


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _of(text: str) -> str:
    return f": {text}" if text else ""


def listed(items: Iterable[str]) -> str:
    """Return the first items, and how many more there are."""
    known = list(items)
    rest = len(known) - _LISTED
    return "; ".join(known[:_LISTED]) + (f"; and {rest} more" if rest > 0 else "")
