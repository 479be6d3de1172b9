"""Every fleet gets addresses that nothing on the machine uses."""

from ipaddress import IPv4Network

import pytest

from fleet.addresses import BLOCKS, MAX_CLUSTERS, AddressError, FleetNetwork, choose_block


def test_first_free_block_is_taken() -> None:
    assert choose_block(set(), []) == BLOCKS[0]
    assert choose_block({BLOCKS[0]}, []) == BLOCKS[1]


def test_blocks_that_overlap_a_network_are_left_out() -> None:
    used = [IPv4Network(f"10.{BLOCKS[0]}.7.0/24"), IPv4Network(f"10.{BLOCKS[2]}.0.9/32")]
    assert choose_block({BLOCKS[1]}, used) == BLOCKS[3]


def test_a_broad_route_over_everything_does_not_block() -> None:
    vpn = IPv4Network("10.0.0.0/8")
    assert choose_block(set(), [vpn]) == BLOCKS[0]
    assert choose_block(set(), [vpn, IPv4Network(f"10.{BLOCKS[0]}.0.0/16")]) == BLOCKS[1]


def test_no_free_block_is_an_error_that_names_the_range() -> None:
    with pytest.raises(AddressError, match=rf"10\.{BLOCKS[0]}\.0\.0/16"):
        choose_block(set(BLOCKS), [])


def test_clusters_of_all_fleets_have_distinct_ranges() -> None:
    networks = [
        FleetNetwork(block).cluster(index) for block in BLOCKS for index in range(MAX_CLUSTERS)
    ]
    ranges = {cidr for network in networks for cidr in (network.pod_cidr, network.service_cidr)}
    assert len(ranges) == 2 * len(networks)
    for network in networks:
        inside = FleetNetwork(network.block).range
        assert IPv4Network(network.pod_cidr).subnet_of(inside)
        assert IPv4Network(network.service_cidr).subnet_of(inside)
        assert len(network.host_link) <= 15


def test_special_addresses_lie_in_their_ranges() -> None:
    from ipaddress import IPv4Address

    network = FleetNetwork(170).cluster(2)
    services = IPv4Network(network.service_cidr)
    assert IPv4Address(network.dns_service) in services
    assert IPv4Address(network.kubernetes_service) == services[1]
    assert network.node_address == "10.170.0.12"


def test_too_many_clusters_are_refused() -> None:
    with pytest.raises(AddressError):
        FleetNetwork(170).cluster(MAX_CLUSTERS)
