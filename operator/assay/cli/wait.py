"""``kubectl assay wait NAME --for=promoted``: for scripts and pipelines."""

import re
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from assay.api.conditions import Reason
from assay.api.deployment_status import ModelDeploymentStatus, RolloutStatus, Stage
from assay.judge.wording import duration

from .cluster import Refused
from .document import InputError
from .hub import Hub, hub_options

_POLL_SECONDS = 2.0
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Goal(StrEnum):
    """What is waited for."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"
    READY = "ready"


class Answer(StrEnum):
    """Whether it is so; the exit codes 0, 1 and 3."""

    MET = "met"
    MISSED = "missed"
    PENDING = "pending"


class Span(click.ParamType[float]):
    """A span of time as kubectl takes it: ``90s``, ``10m``, ``1h30m``; a number is of seconds."""

    name = "duration"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        raise click.BadParameter(f"{value!r} is no span of time like 90s, 10m or 1h30m", ctx, param)


@click.command("wait", short_help="Wait until it is promoted, rolled back or ready.")
@click.option(
    "--for",
    "goal",
    required=True,
    type=click.Choice([each.value for each in Goal]),
    help="promoted: the version that the spec names is the stable one. rolled-back: it was rejected, "
    "and the rollout is over. ready: it serves everywhere.",
)
@click.option(
    "--timeout",
    type=Span(),
    default="24h",
    show_default=True,
    help="How long, as 90s, 10m or 1h30m. 0 looks once.",
)
@click.option("--version", "wanted", help="Wait, too, until the spec names this version.")
@hub_options
def wait_command(
    name: str,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    goal: str,
    timeout: float,
    wanted: str | None,
) -> None:
    """Wait for what becomes of the version that the spec names, and say it.

    Nothing counts before the operator has seen the present generation of the spec, so a wait right after
    `kubectl apply` waits for that apply. With GitOps name the --version: the spec may not be there yet.
    An API server that is away for a while is waited for, too.

    \b
    Exit code 0: it is so.
              1: it ended otherwise, so that waiting is in vain: rolled back where a promotion was waited for,
                 promoted where a rollback was, or a spec that cannot be carried out.
              2: the command is wrong, or the hub cannot be asked (no such ModelDeployment, no right to read it).
              3: the time is over and nothing is decided.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        code, words = _wait(Hub(name, namespace, context, kubeconfig), Goal(goal), timeout, wanted)
    except click.ClickException as error:
        # 1 means a verdict.
        raise InputError(error.format_message()) from None
    click.echo(words, err=code == 3)
    raise click.exceptions.Exit(code)


def _wait(hub: Hub, goal: Goal, timeout: float, wanted: str | None) -> tuple[int, str]:
    end = time.monotonic() + timeout
    words, asked = "the hub does not answer", False
    while True:
        try:
            document, status = hub.read()
        except Refused as error:
            if not asked or 400 <= error.status < 500:
                raise
            words = error.message
        else:
            asked = True
            answer, words = outcome(document, status, goal, wanted)
            if answer is not Answer.PENDING:
                return (0 if answer is Answer.MET else 1), words
        left = end - time.monotonic()
        if left <= 0:
            after = f" within {duration(timeout)}" if timeout else ""
            return 3, f"assay wait: not {goal.value}{after}: {words}"
        time.sleep(min(_POLL_SECONDS, left))


def outcome(
    document: dict[str, Any], status: ModelDeploymentStatus, goal: Goal, wanted: str | None
) -> tuple[Answer, str]:
    """Return whether the goal is met or missed, and why, in words."""
    version = str(((document.get("spec") or {}).get("model") or {}).get("version"))
    if wanted is not None and version != wanted:
        return Answer.PENDING, f"the spec names version {version} yet, not {wanted}"
    if status.observed_generation != document["metadata"].get("generation", 0):
        return Answer.PENDING, "the operator has not seen this generation of the spec yet"
    known = {item.type: item for item in status.conditions}
    ready, promoted = known.get("Ready"), known.get("Promoted")
    if ready is None or promoted is None:
        return Answer.PENDING, "the operator has not looked at it yet"
    over = _over(status.rollout)
    is_ready, is_promoted = ready.status == "True", promoted.status == "True"
    # What waiting alone does not end: only another spec or a person does.
    rejected = over and ready.reason in {
        Reason.ROLLED_BACK,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
    }
    invalid = over and ready.reason == Reason.INVALID_SPEC
    met = {
        Goal.PROMOTED: is_promoted,
        Goal.ROLLED_BACK: rejected,
        Goal.READY: is_ready,
    }[goal]
    missed = {
        Goal.PROMOTED: rejected or invalid,
        Goal.ROLLED_BACK: (is_promoted and over) or invalid,
        Goal.READY: rejected or invalid,
    }[goal]
    if met:
        return Answer.MET, ready.message if goal is not Goal.PROMOTED else promoted.message
    return (Answer.MISSED if missed else Answer.PENDING), f"{ready.reason}: {ready.message}"


def _over(rollout: RolloutStatus | None) -> bool:
    return rollout is None or rollout.stage is Stage.DONE
