"""``assay member-kubeconfig``: the kubeconfig with which a hub reaches a member.

The chart, installed in the member with ``role=member``, makes a service account and a token that
does not expire. This command puts both into a kubeconfig; the hub keeps it in a Secret.
"""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import click
import yaml


@click.command("member-kubeconfig")
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How to reach the member as an administrator; $KUBECONFIG or ~/.kube/config if left out.",
)
@click.option("--namespace", default="assay-system", show_default=True, help="Of the release.")
@click.option(
    "--service-account", default="assay-hub", show_default=True, help="Made by the chart."
)
@click.option(
    "--server", help="Address of the member's API server as the hub reaches it; https://..."
)
def member_kubeconfig_command(
    kubeconfig: Path | None, namespace: str, service_account: str, server: str | None
) -> None:
    """Print a kubeconfig for the hub, from the token that the chart made in a member.

    \b
    assay member-kubeconfig --kubeconfig east.yaml > east-hub.kubeconfig
    kubectl -n assay-system create secret generic east --from-file=kubeconfig=east-hub.kubeconfig
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    from assay.members.errors import ApiError, MemberError  # noqa: PLC0415

    path = kubeconfig or Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")
    try:
        document = asyncio.run(_read(path, path.read_text(), namespace, service_account, server))
    except (MemberError, ApiError) as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
    click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


async def _read(
    path: Path, text: str, namespace: str, account: str, server: str | None
) -> dict[str, Any]:
    from assay.members import kubeconfig, resources  # noqa: PLC0415
    from assay.members.api import Api  # noqa: PLC0415

    credentials = kubeconfig.parse(text, base=path.parent)
    api = Api(credentials, str(path))
    try:
        secret = await api.find(resources.path("Secret", namespace, f"{account}-token"))
    finally:
        await api.close()
    data = (secret or {}).get("data") or {}
    if "token" not in data:
        raise click.ClickException(
            f"there is no token in Secret {namespace}/{account}-token: "
            "install the chart there with role=member (or both)"
        )
    return document(
        server or credentials.server,
        data["ca.crt"],
        base64.b64decode(data["token"]).decode(),
        account,
    )


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
