"""Kernel limits that several clusters on one machine exceed, raised where they are too low.

They count for the whole machine and stay raised: to lower them again while anything runs would break
it, and a higher limit costs nothing.
"""

from __future__ import annotations

from pathlib import Path

SETTINGS = Path("/proc/sys")
# A cluster watches about 25 instances; the usual 128 are too few for a second fleet.
LIMITS = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 1048576,
}


def raise_limits(settings: Path = SETTINGS) -> None:
    """Raise each limit that is lower than what fleets need."""
    for name, least in LIMITS.items():
        path = settings / name
        if int(path.read_text()) < least:
            path.write_text(str(least))
