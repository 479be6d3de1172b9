"""Which addresses a fleet uses: one free 10.x.0.0/16 block, cut the same way for every fleet.

Inside block ``x``: 10.x.0.0/24 is the bridge (the host is .1, node *i* is .10 + i), 10.x.(100 + i).0/24
are the pods of cluster *i* and 10.x.(200 + i).0/24 its Services.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from fleet.errors import FleetError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

BLOCKS = range(160, 240)
MAX_CLUSTERS = 50
# A route at least this specific is somebody's network; a broader one (a VPN's 10.0.0.0/8) may be
# overridden by the more specific routes of a fleet when nothing else is free.
SPECIFIC_PREFIX = 12


class AddressError(FleetError):
    """No address block is free, or an index is out of range."""


@dataclass(frozen=True)
class ClusterNetwork:
    """The addresses of one cluster of a fleet."""

    block: int
    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_CLUSTERS:
            raise AddressError(f"a fleet has at most {MAX_CLUSTERS} clusters")

    @property
    def node_address(self) -> str:
        """Address of the cluster's only node, and of its API server."""
        return f"10.{self.block}.0.{10 + self.index}"

    @property
    def pod_cidr(self) -> str:
        """Range of the pods."""
        return f"10.{self.block}.{100 + self.index}.0/24"

    @property
    def service_cidr(self) -> str:
        """Range of the Services."""
        return f"10.{self.block}.{200 + self.index}.0/24"

    @property
    def kubernetes_service(self) -> str:
        """ClusterIP of the Service ``kubernetes``: always the first of the range."""
        return f"10.{self.block}.{200 + self.index}.1"

    @property
    def dns_service(self) -> str:
        """ClusterIP of the cluster's DNS."""
        return f"10.{self.block}.{200 + self.index}.10"

    @property
    def host_link(self) -> str:
        """Name of the host's end of the cluster's cable (at most 15 characters)."""
        return f"assay{self.block}-{self.index}"


@dataclass(frozen=True)
class FleetNetwork:
    """The addresses of one fleet."""

    block: int

    @property
    def bridge(self) -> str:
        """Name of the bridge that joins the clusters and the host."""
        return f"assay{self.block}"

    @property
    def bridge_address(self) -> str:
        """Address of the host on the bridge: pods of every cluster reach it."""
        return f"10.{self.block}.0.1"

    @property
    def range(self) -> IPv4Network:
        """All addresses of the fleet."""
        return IPv4Network(f"10.{self.block}.0.0/16")

    def cluster(self, index: int) -> ClusterNetwork:
        """Addresses of the cluster number ``index`` (from 0)."""
        return ClusterNetwork(self.block, index)


def choose_block(taken: AbstractSet[int], in_use: Iterable[IPv4Network]) -> int:
    """Choose a block that no fleet has taken and no network of the machine overlaps.

    Parameters
    ----------
    taken
        Blocks of fleets that are planned or running.
    in_use
        Networks that the machine routes to, its own and its name servers' addresses. The default
        route is to be left out.

    Raises
    ------
    AddressError
        If there is none.
    """
    networks = list(in_use)
    specific = [network for network in networks if network.prefixlen >= SPECIFIC_PREFIX]
    for avoided in (networks, specific):
        for block in BLOCKS:
            candidate = FleetNetwork(block).range
            if block not in taken and not any(candidate.overlaps(network) for network in avoided):
                return block
    raise AddressError(
        f"every address block from 10.{BLOCKS[0]}.0.0/16 to 10.{BLOCKS[-1]}.0.0/16 is in use"
    )
