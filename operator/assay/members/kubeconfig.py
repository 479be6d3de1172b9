"""From a kubeconfig to credentials. Refuses whatever would run a program or skip TLS.

A kubeconfig can name programs to execute and files to read; one that comes out of a Secret must
do neither, or whoever may write the Secret acts as the operator.
"""

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from assay.api.conditions import Reason

from .errors import MemberError
from .login import Login

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Credentials:
    """How to reach one API server and who we are there. Secrets are left out of its repr.

    Attributes
    ----------
    ca
        PEM certificates; None: those of the system.
    token_file
        Read again as it rotates (a projected service account token).
    login
        Gives the token instead, and renews it (an access provider).
    """

    server: str
    ca: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    login: Login | None = field(default=None, repr=False)

    def current_token(self) -> str | None:
        """Return the bearer token; one in a file is read anew."""
        if self.login:
            return self.login.credential.token if self.login.credential else None
        return self.token_file.read_text().strip() if self.token_file else self.token


def parse(text: str, *, base: Path | None = None) -> Credentials:
    """Return the credentials of the kubeconfig's current context.

    Parameters
    ----------
    text
        The kubeconfig as YAML.
    base
        Directory to which file names are relative; None refuses files (a Secret has none).

    Raises
    ------
    MemberError
        With reason ``CredentialsInvalid``; the message names the field, never its value.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise _invalid(f"the kubeconfig is not YAML{where}") from None
    if not isinstance(document, dict):
        raise _invalid("the kubeconfig is not a mapping")
    name = document.get("current-context")
    context = _named(document, "contexts", "context", name)
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    server, ca = server_of(cluster, base=base)
    _refuse(user)
    certificate = _material(user, "client-certificate", base)
    key = _material(user, "client-key", base)
    token = user.get("token")
    if bool(certificate) != bool(key):
        raise _invalid("client-certificate and client-key must both be there")
    if not token and not certificate:
        raise _invalid("the user has neither a token nor a client certificate")
    return Credentials(
        server=server,
        ca=ca,
        token=str(token).strip() if token else None,
        certificate=certificate,
        key=key,
        tls_server_name=cluster.get("tls-server-name"),
    )


def server_of(cluster: dict[str, Any], *, base: Path | None = None) -> tuple[str, str | None]:
    """Return address and PEM certificates (None: the system's) of a kubeconfig's cluster.

    Raises `MemberError` for whatever would leave the server unproven.
    """
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith("https://"):
        raise _invalid("cluster.server must be an https:// address")
    if cluster.get("insecure-skip-tls-verify"):
        raise _invalid("insecure-skip-tls-verify is refused: give certificate-authority-data")
    if cluster.get("proxy-url"):
        raise _invalid("proxy-url is not supported")
    return server.rstrip("/"), _material(cluster, "certificate-authority", base)


def in_cluster(environ: dict[str, str], directory: Path = SERVICE_ACCOUNT) -> Credentials:
    """Return the credentials of the pod in which this process runs.

    Raises
    ------
    MemberError
        If this is no pod, or it has no service account token.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    token_file = directory / "token"
    if not host or not token_file.is_file():
        raise _invalid("inCluster: this process does not run in a pod with a service account")
    host = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{host}:{port}",
        ca=(directory / "ca.crt").read_text(),
        token_file=token_file,
    )


def local(environ: dict[str, str]) -> Credentials:
    """Return the credentials of the hub: the pod's own, else those of $KUBECONFIG (development)."""
    path = environ.get("KUBECONFIG")
    if not path:
        return in_cluster(environ)
    return parse(Path(path).read_text(), base=Path(path).parent)


def _refuse(user: dict[str, Any]) -> None:
    for field_name in ("exec", "auth-provider"):
        if field_name in user:
            raise _invalid(
                f"user.{field_name} is refused, it would run a program in the operator: "
                "use a token or a client certificate"
            )
    for field_name in ("tokenFile", "username", "as"):
        if field_name in user:
            raise _invalid(f"user.{field_name} is refused: use a token or a client certificate")


def _named(document: dict[str, Any], plural: str, singular: str, name: object) -> dict[str, Any]:
    for item in document.get(plural) or ():
        if isinstance(item, dict) and item.get("name") == name and name:
            value = item.get(singular)
            if isinstance(value, dict):
                return value
    raise _invalid(f"there is no {singular} named {name!r} under {plural}")


def _material(section: dict[str, Any], name: str, base: Path | None) -> str | None:
    """Return PEM text from the inline field, or from the file if files are allowed."""
    if data := section.get(f"{name}-data"):
        try:
            return base64.b64decode(str(data), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            raise _invalid(f"{name}-data is not base64 of PEM text") from None
    path = section.get(name)
    if not path:
        return None
    if base is None:
        raise _invalid(f"{name} names a file: use {name}-data")
    return (base / str(path)).read_text()


def _invalid(message: str) -> MemberError:
    return MemberError(Reason.CREDENTIALS_INVALID, message)
