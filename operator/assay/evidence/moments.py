"""Earlier moments of a trial: which ones a look wants, and what was known then. Pure.

The judge compares the counts of several moments: rows that come in dependent batches vary more from
moment to moment than independent ones, and a canary that turned bad late is worse since some moment
than it is since the start. Moments are multiples of the interval between looks, so whoever looks,
whenever, wants the same ones; Prometheus remembers the counts.
"""

from collections.abc import Iterable, Mapping, Sequence

from assay.evidence.counts import Moment
from assay.evidence.member import GRID_BINS, MemberEvidence, Table, strata, table

MOST = 64
"""There are always fewer moments than this, and at least half as many once there can be."""

COARSENING = 4
"""Score bins that are merged in moments: what the judge takes from them is a ratio of variances."""

SETTLED_SECONDS = 15.0
"""A moment is read when it is this old, by whatever clock: then all agree on what was scraped."""

WINDOW_MARGIN_SECONDS = 60.0
"""Served rows are counted from a little before the trial began: clocks differ."""


def wanted(elapsed_seconds: float, interval_seconds: int) -> tuple[int, ...]:
    """Return the moments that a look wants, in seconds since the trial began, ascending.

    All multiples of a step up to now. The step is the smallest ``interval_seconds * 2^k`` of which
    there are fewer than 64: when it doubles, every second moment stays and no new one is needed.
    """
    step = interval_seconds
    while elapsed_seconds >= MOST * step:
        step *= 2
    return tuple(range(step, int(max(0.0, elapsed_seconds)) + 1, step))


def known_of_all(
    moments: Sequence[int],
    members: Mapping[str, Mapping[int, MemberEvidence | None]],
    present: Mapping[str, MemberEvidence],
) -> dict[int, Mapping[str, MemberEvidence]]:
    """Return the moments at which every member of `present` is known, or was not there yet.

    Parameters
    ----------
    moments
        Those that are wanted, ascending.
    members
        What each member said of them; `None` where its Prometheus has nothing.
    present
        What each says now.

    A moment with counts of another store than the present one has is left out for all members:
    what was counted before a ledger lost its store is not in its counts of now.
    """
    found: dict[int, Mapping[str, MemberEvidence]] = {}
    said = {name: members.get(name, {}) for name in present}
    not_yet = {name: _not_yet(moments, each) for name, each in said.items()}
    for moment in moments:
        then = {
            name: counts for name, each in said.items() if (counts := each.get(moment)) is not None
        }
        silent = said.keys() - then.keys()
        if (
            then
            and all(moment in not_yet[name] for name in silent)
            and all(counts.store == present[name].store for name, counts in then.items())
        ):
            found[moment] = then
    return found


def _not_yet(moments: Iterable[int], said: Mapping[int, MemberEvidence | None]) -> set[int]:
    """Return the moments at which a member had no ledger yet.

    Nothing at that moment and at none before: a hole in between is no zero.
    """
    early: set[int] = set()
    for moment in moments:
        if moment not in said or said[moment] is not None:
            break
        early.add(moment)
    return early


Built = dict[int, tuple[Table, Mapping[str, MemberEvidence], Moment]]
"""Moments that were made before, by seconds, and from what: what was, does not change."""


def history(
    past: Mapping[int, Mapping[str, MemberEvidence]],
    present: Mapping[str, MemberEvidence],
    stable: str,
    canary: str,
    *,
    weights: Mapping[int, float] | None = None,
    built: Built | None = None,
) -> tuple[Moment, ...]:
    """Return what was known at earlier moments, oldest first.

    Parameters
    ----------
    past
        What each member said by seconds since the trial began, scores coarser by `COARSENING`.
    present
        What each says now, on the full grid.
    stable, canary, weights
        As in `assay.evidence.member.combine`.
    built
        What an earlier call has made, brought up to date here: a look makes one new moment and not
        sixty.

    A moment is left out when any count was larger then than now: counters never fall, so it is
    of other evidence.
    """
    built = {} if built is None else built
    now = {name: member.coarser(COARSENING) for name, member in present.items()}
    like = table(now, (stable, canary), GRID_BINS // COARSENING)
    kept: Built = {}
    for seconds, members in sorted(past.items()):
        if seconds in built and built[seconds][:2] == (like, members):
            kept[seconds] = built[seconds]
        elif _still_there(members, now, (stable, canary)):
            found = strata(members, stable, canary, like, weights=weights)
            kept[seconds] = like, members, Moment(float(seconds), found)
    built.clear()
    built.update(kept)
    return tuple(moment for *_, moment in kept.values())


def _still_there(
    then: Mapping[str, MemberEvidence],
    now: Mapping[str, MemberEvidence],
    revisions: tuple[str, str],
) -> bool:
    for name, member in then.items():
        later = now[name].counts if name in now else {}
        for arm, counts in member.counts.items():
            if arm[0] in revisions and not (arm in later and later[arm].includes(counts)):
                return False
    return True
