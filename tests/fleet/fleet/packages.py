"""The Debian packages a fleet needs on the machine; missing ones are installed."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from fleet.errors import FleetError
from fleet.processes import CommandError, run

if TYPE_CHECKING:
    from fleet.progress import Reporter

# A program of each package tells whether it is there: faster than to ask dpkg, and true elsewhere.
PROGRAMS = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "nftables": "/usr/sbin/nft",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/sbin/ip",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "procps": "/sbin/sysctl",
    "util-linux": "/usr/bin/unshare",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}
CONTEXTS_HINT = (
    "Use clusters that exist instead: `fleet up --contexts a,b` takes contexts of your kubeconfig "
    "(kind, k3d or cloud clusters)."
)


class UnsuitableMachineError(FleetError):
    """This machine, or this user, cannot run local clusters."""


def check_machine() -> None:
    """Refuse machines on which no local cluster can run.

    Raises
    ------
    UnsuitableMachineError
        Says why, and what to do instead.
    """
    if platform.system() != "Linux":
        raise UnsuitableMachineError(
            f"Local clusters need Linux; this is {platform.system()}. {CONTEXTS_HINT}"
        )
    if os.geteuid() != 0:
        raise UnsuitableMachineError(
            "Local clusters need root (network namespaces, mounts, control groups); you are user "
            f"{os.geteuid()}. Run it with sudo. {CONTEXTS_HINT}"
        )


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [name for name, path in PROGRAMS.items() if not Path(path).exists()]


def install(reporter: Reporter) -> None:
    """Install what is missing.

    Raises
    ------
    UnsuitableMachineError
        If this machine has no apt-get, or the packages cannot be had.
    """
    names = missing()
    if not names:
        return
    if not Path("/usr/bin/apt-get").exists():
        raise UnsuitableMachineError(
            f"These programs are missing and this is no Debian: {', '.join(names)}. {CONTEXTS_HINT}"
        )
    with reporter.step(f"install {', '.join(names)}", estimate=60):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        try:
            run(["apt-get", "update"], env=quiet)
            run(["apt-get", "install", "--yes", "--no-install-recommends", *names], env=quiet)
        except CommandError as error:
            raise UnsuitableMachineError(f"{error}\n{CONTEXTS_HINT}") from error
