"""The command `assay-server`: serve a model, keep a ledger, fetch an artifact.

Every option is also an environment variable; `--help` shows which.
"""

import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click
from typing_extensions import override

from assay_server import __version__
from assay_server.artifacts import (
    MAX_BYTES,
    ArtifactError,
    Credentials,
    Format,
    Signers,
    Signing,
    fetch,
)
from assay_server.artifacts.uri import CLAIMS
from assay_server.keys import KeyRing, KeysError
from assay_server.logs import configure
from assay_server.options import (
    PATH,
    fail,
    option,
    read_digest,
    read_members,
    read_names,
    read_revision,
    signing_keys,
    tls_of,
    where_options,
)

if TYPE_CHECKING:
    from assay_server.ledger.entries import Rules

_FORMAT = click.Choice([item.value for item in Format])
_UNSAFE = click.Choice(["Refuse", "Allow"])
# scikit-learn and skops load these where they are installed. A server gives its model arrays, never
# DataFrames; without them it takes 60 MB less and starts in half the time.
_UNUSED = frozenset({"matplotlib", "pandas", "polars", "pyarrow", "pytest", "rich"})


class _Unused(MetaPathFinder):
    """Has an import of these fail as if they were not installed.

    None in sys.modules would do that too, but scikit-learn takes an entry there for the library.
    """

    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in _UNUSED:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


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
    if sys.flags.optimize > 1:
        # scipy writes documentation while it is imported. Without docstrings it looks for comments
        # in their place and parses its own source for that: a fifth of the time of a start.
        setattr(inspect, "getcomments", lambda _: None)  # noqa: B010 - mypy knows better


@main.command(
    "fetch", help="Fetch an artifact, check its digest, and move it to its place in one step."
)
@option("--model-uri", required=True, help="https, s3, gs, az, pvc, file (or http, abfs).")
@option("--digest", required=True, callback=read_digest, help="sha256:<64 hex digits>.")
@option("--target", required=True, type=click.Path(path_type=Path), help="File to write.")
@option("--max-bytes", type=click.IntRange(1), default=MAX_BYTES, help="Largest artifact.")
@option("--credentials-dir", type=PATH, help="Files of a Secret with credentials.")
@option("--signers-dir", type=PATH, help="Public keys (PEM), one of which must have signed.")
@option("--signature-uri", help="Where the signature is; default: the artifact's and '.sig'.")
@option("--claims-dir", type=PATH, default=str(CLAIMS), help="Where pvc claims are mounted.")
def fetch_command(
    *,
    model_uri: str,
    digest: str,
    target: Path,
    max_bytes: int,
    credentials_dir: Path | None,
    signers_dir: Path | None,
    signature_uri: str | None,
    claims_dir: Path,
) -> None:
    """Fetch an artifact to a file."""
    configure()
    if signature_uri and signers_dir is None:
        # Whoever names a signature wants it checked.
        raise click.UsageError("--signature-uri needs --signers-dir: the keys that are trusted")
    try:
        fetch(
            model_uri,
            digest,
            target,
            max_bytes,
            credentials=Credentials.of_directory(credentials_dir) if credentials_dir else None,
            signing=Signing(Signers.of_directory(signers_dir), signature_uri)
            if signers_dir
            else None,
            claims=claims_dir,
        )
    except ArtifactError as error:
        fail(str(error))


@main.command(
    "serve", help="Serve one model by the Open Inference Protocol v2, with a receipt for each row."
)
@option("--model-uri", required=True, help="A path, or file:, http: or https: URI.")
@option("--digest", required=True, callback=read_digest, help="sha256:<64 hex digits>.")
@option("--model-name", required=True, help="Name in the paths of the protocol.")
@option("--model-version", required=True, help="Version in the paths of the protocol.")
@option("--revision", callback=read_revision, help="Revision; default: 10 digits of the digest.")
@option("--threshold", type=click.FloatRange(0, 1), help="Positive iff probability >= this.")
@option("--positive-label", help="The positive class; default: the second of two.")
@option("--format", type=_FORMAT, default="Skops", help="How the artifact is stored.")
@option("--unsafe", type=_UNSAFE, default="Refuse", help="Joblib: whether its code may run.")
@option(
    "--trusted-types", default="", callback=read_names, help="Further types to load from skops."
)
@option("--drain-seconds", type=click.FloatRange(0), default=5.0, help="Serve so long on SIGTERM.")
@option("--ledger-url", help="Base URL of the ledger; default: its Service in this namespace.")
@option(
    "--ship",
    type=click.Choice(["None", "All", "Users"]),
    help="What the ledger is told of; default: as --feedback-file says.",
)
@option(
    "--feedback-file",
    type=PATH,
    help='A file {"ship": ...}, read when it changes; default: feedback.json beside the keys.',
)
@option(
    "--user-header",
    help="Header of a request that names its user; in a trial the gateway's assay-user-by says it.",
)
@option("--user-cookie", help="Cookie that names the user, instead of a header.")
@option("--spool-dir", type=PATH, help="Where shipments wait; default: a temporary folder.")
@option(
    "--spool-bytes",
    type=click.IntRange(2**23),
    default=2**28,
    help="How much may wait; beyond it the oldest goes untold.",
)
@option(
    "--log-requests",
    type=click.Choice(["Failed", "All"]),
    default="Failed",
    help="Which requests get a line in the log: time, path, status, id; never what they hold.",
)
@option("--grpc-port", type=click.IntRange(0, 65535), default=0, help="Port for gRPC; 0: none.")
@option(
    "--score",
    type=click.Choice(["Probability", "Decision"]),
    help="What scores must be; default: probabilities if the model has any.",
)
@option(
    "--max-queue",
    type=click.IntRange(1),
    default=8192,
    help="Rows that may wait for the model; beyond that requests are answered 503.",
)
@option(
    "--batch-wait-us",
    type=click.IntRange(0, 1_000_000),
    default=0,
    help="Microseconds that a request waits for others; 0: it takes along what is there.",
)
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
    format: str,  # noqa: A002
    unsafe: str,
    trusted_types: list[str],
    drain_seconds: float,
    ledger_url: str | None,
    ship: str | None,
    feedback_file: Path | None,
    user_header: str | None,
    user_cookie: str | None,
    spool_dir: Path | None,
    spool_bytes: int,
    log_requests: str,
    grpc_port: int,
    score: str | None,
    max_queue: int,
    batch_wait_us: int,
    http_port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    host: str,
    namespace: str,
    deployment: str | None,
    member: str,
    keys_file: str,
) -> None:
    """Serve until SIGTERM."""
    if user_header and user_cookie:
        raise click.UsageError("--user-header and --user-cookie exclude each other")
    if format != Format.JOBLIB:  # who knows what that refers to
        sys.meta_path.insert(0, _Unused())
    # Imported here: `fetch` and `--help` need none of the libraries behind these.
    from assay_server.access import AccessLog, Logged  # noqa: PLC0415
    from assay_server.loading import Identity, load_predictor  # noqa: PLC0415
    from assay_server.models import ScoreKind, UnsupportedModelError  # noqa: PLC0415
    from assay_server.models.batcher import Batching  # noqa: PLC0415
    from assay_server.server import run  # noqa: PLC0415
    from assay_server.shipping import Ship, ShippingError, shipper_of  # noqa: PLC0415
    from assay_server.strata import Schedule  # noqa: PLC0415
    from assay_server.users import UserKey  # noqa: PLC0415

    user = None
    if user_header or user_cookie:
        user = UserKey(user_header.lower() if user_header else None, user_cookie)
    configure()
    tls = tls_of(tls_cert, tls_key)
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
            signing_keys(keys_file),
            threshold=threshold,
            positive_label=positive_label,
            trusted=trusted_types,
            format=Format(format),
            unsafe=unsafe == "Allow",
            score=ScoreKind(score) if score else None,
        )
        base = ledger_url or identity.ledger_address().partition("/v2/")[0]
        shipper = shipper_of(
            f"{base.rstrip('/')}/v2/models/{identity.deployment}/served",
            spool_dir,
            spool_bytes,
            Ship(ship) if ship else feedback_file or Path(keys_file).with_name("feedback.json"),
            deployment=identity.deployment,
            namespace=identity.namespace,
            revision=identity.revision,
        )
        run(
            predictor,
            identity,
            host,
            http_port,
            drain_seconds,
            grpc_port,
            shipper,
            user,
            tls,
            AccessLog(Logged(log_requests)),
            Batching(max_queue, batch_wait_us / 1e6),
            Schedule(Path(keys_file).with_name("strata.json")),
        )
    except ArtifactError as error:
        fail(str(error))
    except ShippingError as error:
        fail(f"LedgerUnusable: {error}")
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
@option(
    "--store", required=True, help="sqlite:////path, or postgresql://user:password@host/database."
)
@option("--classes", default="", callback=read_names, help="Class names; default: from receipts.")
@option(
    "--missing-label",
    type=click.Choice(["Ignore", "Negative"]),
    default="Ignore",
    help="What no label at the label age means: nothing, or the negative class.",
)
@option(
    "--label-age-seconds",
    type=click.IntRange(0),
    default=0,
    help="Age of a prediction at which its label becomes evidence, and final; 0: when it comes.",
)
@option("--label-window-seconds", type=click.IntRange(1), default=2592000, help="Receipts' life.")
@option(
    "--retention-seconds",
    type=click.IntRange(1),
    help="Keep predictions so long for the log; default: the label window.",
)
@option("--members", default="{}", callback=read_members, help="Label addresses of other members.")
@option("--label-token-file", type=PATH, help="Tokens of who may label, one a line; default: all.")
@option("--export-token-file", type=PATH, help="Tokens of who may read the log and erase.")
@where_options
def ledger_command(
    *,
    store: str,
    classes: list[str],
    missing_label: str,
    label_age_seconds: int,
    label_window_seconds: int,
    retention_seconds: int | None,
    members: Mapping[str, str | None],
    label_token_file: Path | None,
    export_token_file: Path | None,
    http_port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    host: str,
    namespace: str,
    deployment: str | None,
    member: str,
    keys_file: str,
) -> None:
    """Keep a ledger until SIGTERM."""
    from assay_server.ledger.app import anybody, nobody, run  # noqa: PLC0415
    from assay_server.ledger.database import StoreError  # noqa: PLC0415
    from assay_server.ledger.entries import Rules  # noqa: PLC0415
    from assay_server.ledger.feedback import Clerk  # noqa: PLC0415
    from assay_server.ledger.store import source_of  # noqa: PLC0415
    from assay_server.ledger.tokens import Tokens, TokensError  # noqa: PLC0415
    from assay_server.receipts import Verifier  # noqa: PLC0415

    configure()
    tls = tls_of(tls_cert, tls_key)
    if not deployment:
        raise click.UsageError("Missing option '--deployment' (env var: 'ASSAY_DEPLOYMENT').")
    rules = Rules(
        window=label_window_seconds,
        age=label_age_seconds,
        negative=missing_label == "Negative",
        retention=retention_seconds or label_window_seconds,
        classes=tuple(classes) or None,
    )
    _check(rules)
    try:
        keys = KeyRing.from_file(Path(keys_file))
        clerk = Clerk(Verifier(keys, namespace, deployment), rules, member=member, members=members)
        source = source_of(store, f"{namespace}/{deployment}@{member}")
        may_label = Tokens(label_token_file).check if label_token_file else anybody
        may_export = Tokens(export_token_file).check if export_token_file else nobody
        failure = run(
            *(clerk, source, deployment, host, http_port, tls),
            may_label=may_label,
            may_export=may_export,
        )
    except KeysError as error:
        fail(f"KeysUnusable: {error}")
    except TokensError as error:
        fail(f"TokensUnusable: {error}")
    except StoreError as error:
        fail(f"StoreFailed: {error}")
    except OSError as error:
        fail(f"ListenFailed: {host}:{http_port}: {error.strerror}")
    if failure is not None:
        fail(failure)


def _check(rules: "Rules") -> None:
    if rules.negative and rules.at_once:
        raise click.UsageError(
            "--missing-label Negative needs --label-age-seconds: the age at which no label is one."
        )
    if rules.age > rules.window:
        raise click.UsageError(
            "--label-age-seconds must not be above --label-window-seconds: no label would come."
        )
    if rules.retention < rules.window:
        raise click.UsageError(
            "--retention-seconds must not be below --label-window-seconds: a label could count twice."
        )
