"""What the commands share: options that are environment variables too, and readers of their values."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from assay_server.artifacts import ArtifactError, check_digest
from assay_server.keys import KeyRing
from assay_server.logs import event

if TYPE_CHECKING:
    from assay_server.transport import TLS

DEFAULT_KEYS_FILE = "/etc/assay/receipts/keys.json"
PATH = click.Path(path_type=Path)
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


def read_digest(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Read the digest of an artifact."""
    try:
        check_digest(value)
    except ArtifactError as error:
        raise click.BadParameter(str(error)) from None
    return value


def read_names(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
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


def read_members(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> Mapping[str, str | None]:
    """Read the label addresses of members, `None` for one that has none."""
    try:
        members = json.loads(value)
    except ValueError:
        members = None
    if not isinstance(members, dict) or not all(
        address is None or isinstance(address, str) for address in members.values()
    ):
        raise click.BadParameter('must be JSON like {"east": "http://...", "west": null}')
    return members


def read_revision(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Read a revision."""
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
        option("--tls-cert", type=PATH, help="Certificate chain (PEM) for https instead of http."),
        option("--tls-key", type=PATH, help="The key of --tls-cert (PEM)."),
    ):
        command = decorate(command)
    return command


def signing_keys(keys_file: str) -> KeyRing:
    """Read the keys; without a file at the default place, make one that lives with the process."""
    if keys_file == DEFAULT_KEYS_FILE and not Path(keys_file).exists():
        event("keys_ephemeral", level=30, advice="no ledger can verify these receipts")
        return KeyRing.ephemeral()
    return KeyRing.from_file(Path(keys_file))


def tls_of(cert: Path | None, key: Path | None) -> "TLS | None":
    """Return the certificate to serve with, None without one; end the process if it is unusable."""
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key need each other")
    from assay_server.transport import TLS, TLSError  # noqa: PLC0415

    tls = TLS(cert, key)
    try:
        tls.context()
    except TLSError as error:
        fail(f"TLSUnusable: {error}")
    return tls
