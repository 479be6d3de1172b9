"""From a ClusterProfile to how a member is reached (KEP-4322, KEP-5339; cluster-inventory-api).

The profile says where the API server is and which providers know credentials for it. Which program
that is, and whether it may run, is the operator's own configuration (`providers`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from assay.api.conditions import ConditionStatus, Reason

from . import kubeconfig
from .errors import MemberError
from .providers import PROTOCOL, Provider

HEALTHY = "ControlPlaneHealthy"
"""The condition of a ClusterProfile by which its cluster manager says how the cluster is."""

_CONFIG = "client.authentication.k8s.io/exec"
"""Extension of a cluster that is handed to the program as ``spec.cluster.config``."""


@dataclass(frozen=True)
class Access:
    """One way to one API server.

    Attributes
    ----------
    provider
        Who gives the credentials.
    server, ca, tls_server_name
        As in `kubeconfig.Credentials`.
    cluster
        What the program is told of the cluster (``spec.cluster`` of an ExecCredential).
    """

    provider: Provider
    server: str
    ca: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    cluster: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def request(self) -> dict[str, Any]:
        """What the program is asked, an ExecCredential without status."""
        spec: dict[str, Any] = {"interactive": False}
        if self.provider.exec_config.provide_cluster_info:
            spec["cluster"] = self.cluster
        return {"apiVersion": PROTOCOL, "kind": "ExecCredential", "spec": spec}


def access(document: dict[str, Any], providers: Iterable[Provider]) -> Access:
    """Return the way into the cluster of a ClusterProfile that the operator prefers.

    The order of `providers` decides, as in the reference implementation: who writes the profile
    does not choose the program.

    Raises
    ------
    MemberError
        ``AccessProviderNotAllowed``, or ``CredentialsInvalid`` naming the field.
    """
    offered = _offered(document)
    for provider in providers:
        if provider.name in offered:
            return _access(provider, offered[provider.name])
    metadata = document["metadata"]
    names = ", ".join(offered) or "none"
    raise MemberError(
        Reason.ACCESS_PROVIDER_NOT_ALLOWED,
        f"ClusterProfile {metadata['namespace']}/{metadata['name']} offers the access providers "
        f"{names[:200]}; the operator may use none of them (chart value operator.accessProviders)",
    )


def health(document: dict[str, Any]) -> tuple[ConditionStatus, str] | None:
    """Return status and reason of the profile's own word on the cluster; None if it has none."""
    for item in (document.get("status") or {}).get("conditions") or ():
        if isinstance(item, dict) and item.get("type") == HEALTHY:
            known = {status.value: status for status in ConditionStatus}
            status = known.get(str(item.get("status")), ConditionStatus.UNKNOWN)
            return status, str(item.get("reason") or "Unknown")[:64]
    return None


def _offered(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the clusters by provider; `credentialProviders` is the older name and gives way."""
    status = document.get("status") or {}
    return {
        str(item["name"]): item.get("cluster") or {}
        for list_name in ("credentialProviders", "accessProviders")
        for item in status.get(list_name) or ()
        if isinstance(item, dict) and item.get("name")
    }


def _access(provider: Provider, section: dict[str, Any]) -> Access:
    try:
        server, ca = kubeconfig.server_of(section)
    except MemberError as error:
        message = f"ClusterProfile, access provider {provider.name}: {error.message}"
        raise MemberError(error.reason, message) from None
    extensions = {
        item.get("name"): item.get("extension")
        for item in section.get("extensions") or ()
        if isinstance(item, dict)
    }
    told = {
        "server": server,
        "certificate-authority-data": section.get("certificate-authority-data"),
        "tls-server-name": section.get("tls-server-name"),
        "config": extensions.get(_CONFIG),
    }
    return Access(
        provider=provider,
        server=server,
        ca=ca,
        tls_server_name=section.get("tls-server-name"),
        cluster={name: value for name, value in told.items() if value is not None},
    )
