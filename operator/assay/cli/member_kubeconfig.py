"""``assay member-kubeconfig``: the kubeconfig with which a hub reaches a member.

The chart, installed in the member with ``role=member``, makes a service account, its roles and a
token that does not expire. This command puts the token into a kubeconfig; the hub keeps it in a
Secret of the operator's namespace, which ``--secret`` prints.
"""

import base64
from pathlib import Path
from typing import Any

import click
import yaml

from .cluster import Cluster


@click.command("member-kubeconfig")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How to reach the member as an administrator; $KUBECONFIG or ~/.kube/config if left out.",
)
@click.option("--context", help="Context of the kubeconfig; the current one if left out.")
@click.option("--namespace", default="assay-system", show_default=True, help="Of the release.")
@click.option(
    "--service-account", default="assay-hub", show_default=True, help="Made by the chart."
)
@click.option(
    "--server", help="Address of the member's API server as the hub reaches it; https://..."
)
@click.option(
    "--secret",
    metavar="NAME",
    help="Print the Secret for the hub instead, ready for kubectl apply there.",
)
@click.option(
    "--secret-namespace",
    default="assay-system",
    show_default=True,
    help="Of that Secret: the operator's own.",
)
def member_kubeconfig_command(
    kubeconfig: Path | None,
    context: str | None,
    namespace: str,
    service_account: str,
    server: str | None,
    secret: str | None,
    secret_namespace: str,
) -> None:
    """Print a kubeconfig for the hub, from the token that the chart made in a member.

    \b
    assay member-kubeconfig --context east --secret member-east | kubectl --context hub apply -f -
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    member = Cluster("the member", context, kubeconfig)
    found = member.find(f"/api/v1/namespaces/{namespace}/secrets/{service_account}-token") or {}
    data = found.get("data") or {}
    if "token" not in data:
        raise click.ClickException(
            f"there is no token in Secret {namespace}/{service_account}-token: "
            "install the chart there with role=member (or both)"
        )
    text = _text(
        document(
            server or member.server,
            data["ca.crt"],
            base64.b64decode(data["token"]).decode(),
            service_account,
        )
    )
    click.echo(_text(_secret(secret_namespace, secret, text)) if secret else text, nl=False)


def document(server: str, ca: str, token: str, user: str) -> dict[str, Any]:
    """Return a kubeconfig; `ca` is base64 of PEM."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "member", "cluster": {"server": server, "certificate-authority-data": ca}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "member", "context": {"cluster": "member", "user": user}}],
        "current-context": "member",
    }


def _secret(namespace: str, name: str, kubeconfig: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {"kubeconfig": kubeconfig},
    }


def _text(document: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text
