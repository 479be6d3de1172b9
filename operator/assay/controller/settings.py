"""What the operator is told from outside: environment variables that the chart sets."""

import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.members import providers
from assay.members.providers import Provider
from assay.render.revision import STRICT, Policy
from assay.rollout.observation import LEAD_SECONDS

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TYPE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """The operator's settings.

    Attributes
    ----------
    namespace
        The operator's own: kubeconfig Secrets and the leader's Lease are there.
    server_image
        Image of the model server when a ModelDeployment names none, and of the ledgers.
    log_level
        A name that `logging` knows.
    metrics_port
        Of /metrics, /healthz and /readyz.
    leader_election
        Whether to hold a Lease before doing anything.
    identity
        Our name in that Lease: the pod's.
    policy
        What models may be and hold.
    providers
        Programs that may be asked for the credentials of members, those preferred first.
    profile_namespaces
        Where ClusterProfiles may be read.
    stratum_lead_seconds
        How long before it counts servers are told of a stratum (traffic.mode Replicas).
    namespaces
        Where ModelDeployments are looked at; empty: everywhere.
    """

    namespace: str
    server_image: str
    log_level: str
    metrics_port: int
    leader_election: bool
    identity: str
    policy: Policy = STRICT
    providers: tuple[Provider, ...] = ()
    profile_namespaces: tuple[str, ...] = ()
    stratum_lead_seconds: int = LEAD_SECONDS
    namespaces: tuple[str, ...] = ()


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings.

    Raises
    ------
    ValueError
        Naming the variable that is missing or wrong.
    """
    namespace = environ.get("ASSAY_NAMESPACE")
    if not namespace and _NAMESPACE_FILE.is_file():
        namespace = _NAMESPACE_FILE.read_text().strip()
    if not namespace:
        raise ValueError("ASSAY_NAMESPACE must name the operator's own namespace")
    image = environ.get("ASSAY_SERVER_IMAGE")
    if not image:
        raise ValueError("ASSAY_SERVER_IMAGE must name the image of the model server")
    port = environ.get("ASSAY_METRICS_PORT", "8080")
    if not port.isdigit():
        raise ValueError(f"ASSAY_METRICS_PORT must be a number, not {port!r}")
    level = environ.get("ASSAY_LOG_LEVEL", "info").upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError(f"ASSAY_LOG_LEVEL must be debug, info, warning or error, not {level!r}")
    election = environ.get("ASSAY_LEADER_ELECTION", "true").lower()
    if election not in ("true", "false"):
        raise ValueError(f"ASSAY_LEADER_ELECTION must be true or false, not {election!r}")
    unsafe = environ.get("ASSAY_ALLOW_UNSAFE_MODELS", "false").lower()
    if unsafe not in ("true", "false"):
        raise ValueError(f"ASSAY_ALLOW_UNSAFE_MODELS must be true or false, not {unsafe!r}")
    lead = environ.get("ASSAY_STRATUM_LEAD_SECONDS", str(LEAD_SECONDS))
    if not lead.isdigit() or not int(lead):
        raise ValueError(f"ASSAY_STRATUM_LEAD_SECONDS must be a number from 1 on, not {lead!r}")
    return Settings(
        namespace=namespace,
        server_image=image,
        log_level=level,
        metrics_port=int(port),
        leader_election=election == "true",
        identity=environ.get("POD_NAME") or socket.gethostname(),
        policy=Policy(_types(environ.get("ASSAY_TRUSTED_TYPES") or "[]"), unsafe == "true"),
        providers=_providers(environ.get("ASSAY_ACCESS_PROVIDERS_FILE")),
        profile_namespaces=tuple(environ.get("ASSAY_CLUSTER_PROFILE_NAMESPACES", "").split()),
        stratum_lead_seconds=int(lead),
        namespaces=tuple(environ.get("ASSAY_NAMESPACES", "").split()),
    )


def _providers(path: str | None) -> tuple[Provider, ...]:
    """Read the file of access providers, if there is one."""
    if not path:
        return ()
    try:
        return providers.parse(Path(path).read_text())
    except OSError as error:
        raise ValueError(f"ASSAY_ACCESS_PROVIDERS_FILE: {path}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"ASSAY_ACCESS_PROVIDERS_FILE: {path}: {error}") from None


def _types(text: str) -> tuple[str, ...]:
    """Read a JSON array of dotted names of Python types."""
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(
        isinstance(name, str) and _TYPE.fullmatch(name) for name in names
    ):
        raise ValueError(
            "ASSAY_TRUSTED_TYPES must be a JSON array of types with their modules, such as"
            f' ["sklearn.tree._tree.Tree"], not {text!r}'
        )
    return tuple(sorted(set(names)))
