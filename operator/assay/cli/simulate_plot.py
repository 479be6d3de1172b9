"""The picture of `assay simulate`: how the rollouts of each canary end over time."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assay.cli.simulate_input import Asked
from assay.rollout.simulation import PROMOTED, ROLLED_BACK, Outcomes

SUFFIXES = (".png", ".svg")

_PROMOTED, _ROLLED_BACK = "#0072b2", "#d55e00"
"""Told apart by everybody, also in print."""


def check(file: str) -> None:
    """Raise ValueError, before anything was simulated, if no picture can be drawn to `file`."""
    path = Path(file)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{file} must end in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is not a directory")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("needs matplotlib: pip install matplotlib")


def draw(file: str, asked: Asked, outcomes: Sequence[Outcomes]) -> None:
    """Draw a panel for each canary: shares promoted (from below) and rolled back (from above)."""
    figures = importlib.import_module("matplotlib.figure")
    limit = asked.trial.spec.rollout.max_seconds
    moments = np.linspace(0.0, limit, 401)
    figure = figures.Figure(figsize=(8.0, 1.2 + 1.5 * len(outcomes)), layout="constrained")
    panels = figure.subplots(len(outcomes), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (effect, _, values), found in zip(panels, asked.canaries, outcomes, strict=True):
        good = found.decided_by(moments, PROMOTED)
        bad = found.decided_by(moments, ROLLED_BACK)
        panel.fill_between(moments, 0.0, good, color=_PROMOTED, label="promoted", step="post")
        panel.fill_between(
            moments, 1.0 - bad, 1.0, color=_ROLLED_BACK, label="rolled back", step="post"
        )
        metrics = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        panel.set_title(f"{effect.words}: {metrics}", loc="left", fontsize="medium")
        panel.set_ylim(0.0, 1.0)
        panel.set_xlim(0.0, limit)
        panel.set_ylabel("share")
    panels[-1].set_xlabel("seconds since the trial began (no verdict yet: white)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    figure.savefig(file)
