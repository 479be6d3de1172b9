"""Which Kubernetes a member must be, at least."""

import re

OLDEST = (1, 30)
"""The oldest that the chart accepts (kubeVersion) and that its role for members was made for."""

_NEEDS = (
    ((1, 22), "server-side apply, by which everything is written"),
    ((1, 25), "rules in CustomResourceDefinitions, which those of the Gateway API have"),
)


def too_old(version: str) -> str | None:
    """Return what is wrong with a member of this ``gitVersion``; None if nothing is known to be.

    Newer ones than we know are fine: the operator sends plain JSON of stable APIs and ignores
    fields that it does not know.
    """
    found = re.match(r"v?(\d{1,4})\.(\d{1,4})", version)
    if found is None:
        return None
    release = int(found[1]), int(found[2])
    if release >= OLDEST:
        return None
    missing = [what for since, what in _NEEDS if release < since]
    why = f"it lacks {' and '.join(missing)}" if missing else "nobody has tried it"
    return f"Kubernetes {version} is older than {OLDEST[0]}.{OLDEST[1]}: {why}"
