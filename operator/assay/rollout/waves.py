"""Waves: in which order the members get the canary.

The first wave takes the steps and gets the verdict; the later ones follow with the weight of the
last step, once the verdict is latched and the wave before has served for its soakSeconds. Every
member keeps stable beside the canary until the last wave is in, so that the evidence of all of
them goes on to be compared (design 5). A rollout without waves is one wave of all.
"""

from collections.abc import Mapping, Sequence

from assay.api.deployment_status import RolloutStatus, WaveRecord
from assay.api.model_deployment import Rollout, Wave

from .observation import MemberView

_REST = Wave(name="rest")
"""All members that no other wave has."""


def planned(settings: Rollout) -> tuple[Wave, ...]:
    """Return all waves of a rollout, that of the rest last."""
    return (*settings.waves, _REST)


def wave_of(settings: Rollout, labels: Mapping[str, str]) -> int:
    """Return the index, in `planned`, of the first wave that chooses a member by its `labels`."""
    for index, wave in enumerate(planned(settings)):
        wanted = wave.cluster_selector.match_labels
        if all(labels.get(key) == value for key, value in wanted.items()):
            return index
    raise AssertionError("the rest has everybody")


def present(rollout: RolloutStatus) -> int:
    """Return the index of the wave that was started last."""
    return rollout.waves[-1].index if rollout.waves else len(rollout.settings.waves)


def following(
    settings: Rollout, after: int, members: Sequence[MemberView]
) -> tuple[int, Wave] | None:
    """Return the next wave after index `after` that has any of `members`, and its index."""
    indexes = {wave_of(settings, member.labels) for member in members}
    index = min((index for index in indexes if index > after), default=None)
    return None if index is None else (index, planned(settings)[index])


def record_of(rollout: RolloutStatus, index: int) -> WaveRecord | None:
    """Return what is written of the wave with this index."""
    return next((item for item in rollout.waves if item.index == index), None)
