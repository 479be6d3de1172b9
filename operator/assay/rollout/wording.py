"""How status speaks: names of revisions, times and numbers for people."""

import datetime
import math
from collections.abc import Sequence

from assay.api.deployment_status import RevisionRef

from .observation import EvidenceProblem

_LIMIT = 1024


def clip(text: str) -> str:
    """Return `text` within the length that status admits."""
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"


def named(ref: RevisionRef | None) -> str:
    """Return how people know a revision."""
    return "nothing" if ref is None else f"version {ref.version} ({ref.revision})"


def moment(time: datetime.datetime) -> str:
    """Return a point in time; never a span, which would change the message every second."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def decimal(number: float | None, digits: int = 4) -> str | None:
    """Return a number as status carries it; what is no number is left out."""
    if number is None or not math.isfinite(number):
        return None
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if float(text) == 0.0 else text


def members(count: int) -> str:
    """Return a number of members in words."""
    return "1 member" if count == 1 else f"{count} members"


def users_mixed(members: Sequence[EvidenceProblem]) -> str:
    """Return why users are not kept, member by member; nothing if they are."""
    why = "; ".join(f"{item.member}: {item.message}" for item in members)
    return f"Users are not kept: {why}" if why else ""


def sentences(*parts: str) -> str:
    """Return the parts that say something, each closed by a full stop."""
    closed = (
        part if part.endswith((".", "…", "!", "?")) else part + "."
        for part in map(str.strip, parts)
        if part
    )
    return " ".join(closed)
