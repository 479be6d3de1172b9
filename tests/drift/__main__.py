"""``python -m tests.drift``: false alarms and delays of `DriftDetected`, as tables.

``python -m tests.drift alarms`` prints one of them: alarms, delays, slow.
"""

import sys
import time
from collections.abc import Sequence

import numpy as np

from tests.drift.days import FEATURES, FIRST_LOOK, NUMERIC, STEPS, Shift, World, alarms, looks
from tests.drift.days import rows_to_alarm as delay

DAYS = 30
SHIFTS = 20
SLOW = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables that are asked for, or all; some minutes of CPU."""
    tables = {"alarms": _false_alarms, "delays": _delays, "slow": _slow}
    asked = (sys.argv[1:] if arguments is None else arguments) or list(tables)
    if unknown := set(asked) - set(tables):
        print(f"{', '.join(sorted(unknown))}: there are {', '.join(tables)}", file=sys.stderr)
        return 2
    try:
        for name in asked:
            tables[name]()
    except KeyboardInterrupt:
        return 130
    return 0


def _false_alarms() -> None:
    print(f"\nFalse alarms in {DAYS} days, 30 features, a look every five minutes\n")
    print("| days | rows a day | alarms in each run | features in an alarm |")
    print("|---|---|---|---|")
    for name, wobble, weekend, volume, runs in (
        ("alike but for .05", 0.05, 0.0, 2_000, 2),
        ("alike but for .05", 0.05, 0.0, 20_000, 2),
        ("alike but for .10", 0.10, 0.0, 20_000, 1),
        ("alike but for .20", 0.20, 0.0, 20_000, 1),
        ("weekends .5 higher", 0.05, 0.5, 20_000, 1),
    ):
        found = []
        for seed in range(runs):
            _say(f"{name}, {volume} rows a day, run {seed}")
            world = World(seed, volume, wobble=wobble, weekend=weekend)
            rows, totals = world.counts(DAYS + FIRST_LOOK // STEPS)
            found.append(alarms(looks(world, rows, totals)))
        counts = ", ".join(str(len(each)) for each in found)
        most = max((len(alarm.features) for each in found for alarm in each), default=0)
        print(f"| {name} | {volume} | {counts} | {most or ''} |", flush=True)


def _delays() -> None:
    print("\nRows between a sudden shift of one feature and its alarm\n")
    print("| shift | rows a day | found | median | 95 % | most |")
    print("|---|---|---|---|---|---|")
    for size, volume, days in ((0.5, 20_000, 1), (0.5, 2_000, 6), (1.0, 20_000, 1)):
        found = []
        for seed in range(SHIFTS):
            _say(f"shift {size}, {volume} rows a day, run {seed}")
            random = np.random.default_rng(seed)
            start = FIRST_LOOK + int(random.integers(STEPS))
            shift = Shift(int(random.integers(NUMERIC)), size * random.choice([-1, 1]), start)
            world = World(1000 + seed, volume)
            found.append(delay(world, shift, FIRST_LOOK // STEPS + 1 + days))
        known = [rows for rows in found if rows is not None]
        figures = [
            f"{number:.0f}" for number in (np.median(known), np.quantile(known, 0.95), max(known))
        ]
        print(
            f"| {size} | {volume} | {len(known)} of {SHIFTS} | {' | '.join(figures)} |",
            flush=True,
        )


def _slow() -> None:
    print("\nA shift by one standard deviation that comes in ten days: days to its alarm\n")
    print("| rows a day | found | median | most |")
    print("|---|---|---|---|")
    volume, found = 20_000, []
    for seed in range(SLOW):
        _say(f"slow, run {seed}")
        world, shift = World(2000 + seed, volume), Shift(seed, 1.0, FIRST_LOOK, 10 * STEPS)
        rows, totals = world.counts(FIRST_LOOK // STEPS + 12, [shift])
        steps = (
            look.step - FIRST_LOOK
            for look in looks(world, rows, totals, every=12)
            if FEATURES[shift.feature] in look.decision.features
        )
        found.append(next(steps, None))
    known = [steps / STEPS for steps in found if steps is not None]
    middle, most = np.median(known), max(known)
    print(f"| {volume} | {len(known)} of {len(found)} | {middle:.1f} | {most:.1f} |", flush=True)


_started = time.monotonic()


def _say(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{time.monotonic() - _started:5.0f} s  {what}")


if __name__ == "__main__":
    sys.exit(main())
