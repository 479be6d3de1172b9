"""What a run of the whole suite has measured, and its place in docs/benchmarks.md."""

import datetime
import enum
import os
from pathlib import Path

from bench.server.comparison.tables import grid, place

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tests.world: begin -->", "<!-- tests.world: end -->"


class Fact(enum.StrEnum):
    """What is measured, in the order of the table."""

    WAVES = "a verdict in the pilot, approval, then two members one after the other"
    BUDGET = "a wave with a member whose node takes no pods"
    FAILOVER = "a member's power is cut: its replicas are Ready elsewhere (goal: under 30 s)"
    OUTAGE = "requests through the other members meanwhile"
    RETURN = "the member has power again: it serves its share"
    RECLAIM = "a spot node is taken back in a trial: stable takes the canary's share"
    HUB = "the hub is destroyed in that trial, made anew and given the manifests"
    RESIDENCY = "versions of objects seen in the member outside of the residency"
    REQUESTS = "requests from the first chapter to the last, without retries"


class Record:
    """The facts so far."""

    def __init__(self) -> None:
        self._found: dict[Fact, str] = {}

    def note(self, fact: Fact, what: str) -> None:
        """Take a fact, and say it."""
        self._found[fact] = what
        print(f"\n{fact}: {what}")

    @property
    def is_complete(self) -> bool:
        """Whether every fact was measured in this run."""
        return self._found.keys() == set(Fact)

    def write(self) -> None:
        """Put the facts in place of those of an earlier run. Raises NoPlaceError or OSError."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        load = f"load average {os.getloadavg()[0]:.1f}"
        run = f"`make world`, {today}, {os.cpu_count()} cores, {load}:"
        rows = [[fact.value, self._found[fact]] for fact in Fact]
        text = f"{run}\n\n{grid(['what', 'result'], rows)}"
        DOCUMENT.write_text(place(DOCUMENT.read_text(), text, BEGIN, END))
