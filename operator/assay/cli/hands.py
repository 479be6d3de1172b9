"""``kubectl assay pause|resume|approve|promote|abort|retry|undo``: what a person asks of a rollout.

Each writes the annotation ``assay.dev/request`` and waits until ``status.lastRequest`` answers it.
"""

import time
import uuid
from pathlib import Path
from typing import Any

import click
import pydantic
import yaml

from assay.api.deployment_status import (
    HistoryEntry,
    ModelDeploymentStatus,
    RequestRecord,
    RequestResult,
)
from assay.api.request import Request, Verb
from assay.rollout.requests import earlier

from .document import InputError
from .hub import Hub, hub_options

_POLL_SECONDS = 0.25

_HELP = {
    Verb.PAUSE: "Hold the rollout: no step and no promotion. The canary is judged on, and rolled back "
    "if it is worse; no deadline ends the trial.",
    Verb.RESUME: "End what `pause` began.",
    Verb.APPROVE: "End the manual pause that the trial has come to. The next step is taken when the "
    "evidence allows it.",
    Verb.PROMOTE: "Take the next step now, without waiting for time or evidence.",
    Verb.ABORT: "Roll the canary back now. Its revision is not tried again until its hash changes or "
    "`retry` asks for it.",
    Verb.RETRY: "Try the revision that the spec names again after it was rejected, with the evidence "
    "that it had.",
    Verb.UNDO: "Serve an earlier revision again, without a trial, as soon as its pods are ready. The one "
    "that serves now is not tried again by itself; what Git has to say is printed.",
}


def _command(verb: Verb) -> click.Command:
    @click.option("--reason", default="", help="Why; kept in events and history.")
    @click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=15.0,
        show_default=True,
        help="Seconds to wait for the operator's answer.",
    )
    @hub_options
    def run(
        name: str,
        namespace: str | None,
        context: str | None,
        kubeconfig: Path | None,
        reason: str,
        timeout: float,
        *,
        full: bool = False,
        to_revision: str | None = None,
    ) -> None:
        hub = Hub(name, namespace, context, kubeconfig)
        document, status = hub.read()
        back = _earlier(status, to_revision) if verb is Verb.UNDO else None
        _ask(hub, status, verb, reason, timeout, full=full, back=back)
        if back is not None:
            click.echo(_for_git(document["spec"]["model"], back))

    if verb is Verb.PROMOTE:
        run = click.option(
            "--full",
            is_flag=True,
            help="End the trial and take the canary now, although there is no verdict.",
        )(run)
    if verb is Verb.UNDO:
        run = click.option(
            "--to-revision",
            metavar="REVISION|VERSION",
            help="Of status.history; the one that was stable before if left out.",
        )(run)
    ends = "Exit code 1 when it is refused, 2 when the command is wrong, 3 when nobody answers."
    text = f"{_HELP[verb]}\n\n{ends}"
    return click.command(verb.value, help=text, short_help=_HELP[verb].partition(".")[0])(run)


pause_command = _command(Verb.PAUSE)
resume_command = _command(Verb.RESUME)
approve_command = _command(Verb.APPROVE)
promote_command = _command(Verb.PROMOTE)
abort_command = _command(Verb.ABORT)
retry_command = _command(Verb.RETRY)
undo_command = _command(Verb.UNDO)


def _earlier(status: ModelDeploymentStatus, wanted: str | None) -> HistoryEntry:
    """Return the newest revision of history that was stable, is so no more and is `wanted`."""
    stable = status.stable.revision if status.stable else None
    was = [
        item
        for item in status.history
        if item.revision != stable and earlier(status, item.revision)
    ]
    for item in was:
        found = earlier(status, item.revision)
        if found is not None and wanted in {None, item.revision, item.version}:
            return found
    known = ", ".join(dict.fromkeys(f"{item.revision} (version {item.version})" for item in was))
    raise click.ClickException(
        f"history has no revision {wanted or 'before this one'} that was stable; it has {known or 'none'}"
    )


def _for_git(model: dict[str, Any], back: HistoryEntry) -> str:
    """Return what makes the spec name `back`, as far as history knows it."""
    change: dict[str, Any] = {
        "version": back.version,
        "digest": back.digest,
        "uri": f"(where version {back.version} is)",
    }
    format_ = back.format.value if back.format else "Skops"
    if format_ != model.get("format", "Skops"):
        change["format"] = format_
    if back.threshold != (model.get("decision") or {}).get("threshold"):
        change["decision"] = {"threshold": back.threshold}
    text = yaml.safe_dump({"spec": {"model": change}}, sort_keys=False)
    return (
        "\nGit still asks for the other version. Change it to this, and whatever else differed then of the"
        " model,\nserving.image and serving.resources; the Stalled condition ends when both agree.\n\n"
        + text
    )


def _ask(
    hub: Hub,
    status: ModelDeploymentStatus,
    verb: Verb,
    reason: str,
    timeout: float,
    *,
    full: bool,
    back: HistoryEntry | None,
) -> None:
    if status.rollout is None:
        raise click.ClickException("there has been no rollout yet")
    try:
        request = Request(
            id=uuid.uuid4().hex,
            verb=verb,
            rollout_id=status.rollout.id,
            by=hub.user(),
            reason=reason,
            # What is seen now is meant, not a step that comes between.
            step=status.rollout.step if verb in {Verb.APPROVE, Verb.PROMOTE} and not full else None,
            full=full,
            to_revision=back.revision if back else None,
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"--{first['loc'][0]}: {first['msg']}") from None
    hub.ask(request)
    answer = _answer(hub, request.id, timeout)
    if answer is None:
        click.echo(
            f"assay {verb.value}: no answer within {timeout:g} s. The request stands until the "
            "operator works again: kubectl -n assay-system get pods",
            err=True,
        )
        raise click.exceptions.Exit(3)
    if answer.result is RequestResult.REFUSED:
        raise click.ClickException(f"refused: {answer.message}")
    click.echo(answer.message)


def _answer(hub: Hub, request: str, timeout: float) -> RequestRecord | None:
    end = time.monotonic() + timeout
    while True:
        _, status = hub.read()
        if status.last_request is not None and status.last_request.id == request:
            return status.last_request
        if time.monotonic() >= end:
            return None
        time.sleep(_POLL_SECONDS)
