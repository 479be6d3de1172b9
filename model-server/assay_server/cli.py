"""The command `assay-server`: serve a model, keep a ledger, fetch an artifact.

Every option is also an environment variable; `--help` shows which.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from assay_server import __version__
from assay_server.artifacts import MAX_BYTES, ArtifactError, check_digest, fetch
from assay_server.keys import KeyRing, KeysError
from assay_server.logs import configure, event

DEFAULT_KEYS_FILE = "/etc/assay/receipts/keys.json"
_NAME = re.compile(r"[a-z0-9-]{1,16}")


def option(name: str, **settings: Any) -> Callable[[Any], Any]:
    """Declare an option that is also ASSAY_<NAME>, shown in the help."""
    variable = "ASSAY_" + name.removeprefix("--").upper().replace("-", "_")
    shown = "default" in settings
    return click.option(name, envvar=variable, show_envvar=True, show_default=shown, **settings)


def fail(line: str) -> NoReturn:
    """End the process with one line on stderr and in the termination log, and exit code 1."""
    click.echo(line, err=True)
    log = os.environ.get("ASSAY_TERMINATION_LOG", "/dev/termination-log")
    try:
        # Only a file that is there: Kubernetes mounts one, and nobody else wants one made.
        with open(log, "r+", encoding="utf-8") as file:  # noqa: PTH123
            file.write(line + "\n")
            file.truncate()
    except OSError:
        pass
    sys.exit(1)


def _digest(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        check_digest(value)
    except ArtifactError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _names(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    """Read a list: a JSON array of strings, or names between commas."""
    if not value.lstrip().startswith("["):
        return [name.strip() for name in value.split(",") if name.strip()]
    try:
        names = json.loads(value)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise click.BadParameter("must be a JSON array of strings or names between commas")
    return names


def _members(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> Mapping[str, str | None]:
    try:
        members = json.loads(value)
    except ValueError:
        members = None
    if not isinstance(members, dict) or not all(
        address is None or isinstance(address, str) for address in members.values()
    ):
        raise click.BadParameter('must be JSON like {"east": "http://...", "west": null}')
    return members


def _revision(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not _NAME.fullmatch(value):
        raise click.BadParameter("must be 1 to 16 of a-z, 0-9 and -")
    return value


def where_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `serve` and `ledger` share."""
    for decorate in (
        option("--keys-file", default=DEFAULT_KEYS_FILE, help="Keys that sign receipts (JSON)."),
        option("--member", default="local", help="Name of the cluster this runs in."),
        option("--deployment", help="Name of the ModelDeployment; default: the model's name."),
        option("--namespace", default="default", help="Namespace of the ModelDeployment."),
        option("--host", default="0.0.0.0", help="Address to listen on."),  # noqa: S104
        option("--http-port", type=click.IntRange(0, 65535), default=8080, help="Port; 0: any."),
    ):
        command = decorate(command)
    return command


# Help texts are arguments, not docstrings: the image runs without docstrings to save memory.
@click.group(help="Serve predictions with receipts, and count the true labels that come back.")
@click.version_option(__version__, prog_name="assay-server")
def main() -> None:
    """Set up what must be set before any command imports numpy."""
    # Pools of threads and processes cost memory and, on a shared node, time; one row needs none.
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("OPENBLAS_NUM_THREADS", "1"),
        ("JOBLIB_MULTIPROCESSING", "0"),
    ):
        os.environ.setdefault(name, value)


@main.command(
    "fetch", help="Fetch an artifact, check its digest, and move it to its place in one step."
)
@option("--model-uri", required=True, help="Where the artifact is: http, https or file.")
@option("--digest", required=True, callback=_digest, help="sha256:<64 hex digits>.")
@option("--target", required=True, type=click.Path(path_type=Path), help="File to write.")
@option("--max-bytes", type=click.IntRange(1), default=MAX_BYTES, help="Largest artifact.")
def fetch_command(model_uri: str, digest: str, target: Path, max_bytes: int) -> None:
    """Fetch an artifact to a file."""
    try:
        fetch(model_uri, digest, target, max_bytes)
    except ArtifactError as error:
        fail(str(error))


@main.command(
    "serve", help="Serve one model by the Open Inference Protocol v2, with a receipt for each row."
)
@option("--model-uri", required=True, help="A path, or file:, http: or https: URI.")
@option("--digest", required=True, callback=_digest, help="sha256:<64 hex digits>.")
@option("--model-name", required=True, help="Name in the paths of the protocol.")
@option("--model-version", required=True, help="Version in the paths of the protocol.")
@option("--revision", callback=_revision, help="Revision; default: 10 digits of the digest.")
@option("--threshold", type=click.FloatRange(0, 1), help="Positive iff probability >= this.")
@option("--positive-label", help="The positive class; default: the second of two.")
@option("--trusted-types", default="", callback=_names, help="Further types to load from skops.")
@option("--drain-seconds", type=click.FloatRange(0), default=5.0, help="Serve so long on SIGTERM.")
@where_options
def serve_command(
    *,
    model_uri: str,
    digest: str,
    model_name: str,
    model_version: str,
    revision: str | None,
    threshold: float | None,
    positive_label: str | None,
    trusted_types: list[str],
    drain_seconds: float,
    http_port: int,
    host: str,
    namespace: str,
    deployment: str | None,
    member: str,
    keys_file: str,
) -> None:
    """Serve until SIGTERM."""
    # Imported here: `fetch` and `--help` need none of the libraries behind these.
    from assay_server.scoring import UnsupportedModelError  # noqa: PLC0415
    from assay_server.server import Identity, load_predictor, run  # noqa: PLC0415

    configure()
    identity = Identity(
        model=model_name,
        version=model_version,
        namespace=namespace,
        deployment=deployment or model_name,
        member=member,
        revision=revision or digest.removeprefix("sha256:")[:10],
    )
    try:
        predictor = load_predictor(
            model_uri,
            digest,
            identity,
            _signing_keys(keys_file),
            threshold=threshold,
            positive_label=positive_label,
            trusted=trusted_types,
        )
        run(predictor, identity, host, http_port, drain_seconds)
    except ArtifactError as error:
        fail(str(error))
    except UnsupportedModelError as error:
        fail(f"UnsupportedModel: {error}")
    except KeysError as error:
        fail(f"KeysUnusable: {error}")
    except OSError as error:
        fail(f"ListenFailed: {host}:{http_port}: {error.strerror}")


@main.command(
    "ledger",
    help="Take true labels by receipt, count each once, expose the counts to Prometheus.",
)
@option("--store", required=True, help="sqlite:///relative or sqlite:////absolute path.")
@option("--classes", default="", callback=_names, help="Class names; default: from receipts.")
@option("--label-window-seconds", type=click.IntRange(1), default=2592000, help="Receipts' life.")
@option("--members", default="{}", callback=_members, help="Label addresses of other members.")
@where_options
def ledger_command(
    *,
    store: str,
    classes: list[str],
    label_window_seconds: int,
    members: Mapping[str, str | None],
    http_port: int,
    host: str,
    namespace: str,
    deployment: str | None,
    member: str,
    keys_file: str,
) -> None:
    """Keep a ledger until SIGTERM."""
    from assay_server.ledger.app import run  # noqa: PLC0415
    from assay_server.ledger.feedback import Clerk  # noqa: PLC0415
    from assay_server.ledger.store import StoreError, store_path  # noqa: PLC0415
    from assay_server.receipts import Verifier  # noqa: PLC0415

    configure()
    if not deployment:
        raise click.UsageError("Missing option '--deployment' (env var: 'ASSAY_DEPLOYMENT').")
    try:
        keys = KeyRing.from_file(Path(keys_file))
        clerk = Clerk(
            Verifier(keys, namespace, deployment),
            member=member,
            classes=classes,
            members=members,
            window=label_window_seconds,
        )
        failure = run(clerk, store_path(store), deployment, host, http_port)
    except KeysError as error:
        fail(f"KeysUnusable: {error}")
    except StoreError as error:
        fail(f"StoreFailed: {error}")
    except OSError as error:
        fail(f"ListenFailed: {host}:{http_port}: {error.strerror}")
    if failure is not None:
        fail(failure)


def _signing_keys(keys_file: str) -> KeyRing:
    """Read the keys; without a file at the default place, make one that lives with the process."""
    if keys_file == DEFAULT_KEYS_FILE and not Path(keys_file).exists():
        event("keys_ephemeral", level=30, advice="no ledger can verify these receipts")
        return KeyRing.ephemeral()
    return KeyRing.from_file(Path(keys_file))
