"""Which address a member's Prometheus has, and with what it is asked."""

import asyncio

import pytest

from assay.api.model_cluster import PrometheusSource
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.prometheus import Trial
from assay.members.evidence import PrometheusReader, service_url
from assay.members.kubeconfig import Credentials

from .apiserver import running

PROXY = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy"


def test_a_service_is_asked_through_the_api_server() -> None:
    assert (
        service_url("https://east:6443", "monitoring/prometheus:9090")
        == f"https://east:6443{PROXY}"
    )


def test_what_prometheus_says_wrong_is_unavailable_and_not_retried() -> None:
    async def scenario() -> None:
        async with running() as (server, _):
            server.refuse[f"GET {PROXY}/api/v1/query"] = (503, "no endpoints available")
            source = PrometheusSource(service="monitoring/prometheus:9090")
            reader = PrometheusReader(source, Credentials(server=server.url, token="t0ken"))
            with pytest.raises(EvidenceUnavailable) as caught:
                await reader.read(Trial("ml", "fraud", "0123456789"), 60)
            assert caught.value.reason == "PrometheusUnreachable"
            assert "t0ken" not in str(caught.value)
            assert len(server.requests) == 1
            reader.close()

    asyncio.run(scenario())


def test_a_look_does_not_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.members.evidence.PATIENCE_SECONDS", 0.1)

    async def scenario() -> None:
        async with running() as (server, _):
            server.delay[f"GET {PROXY}/api/v1/query"] = 0.6
            source = PrometheusSource(service="monitoring/prometheus:9090")
            reader = PrometheusReader(source, Credentials(server=server.url))
            for _ in range(3):
                with pytest.raises(EvidenceUnavailable, match="did not answer within"):
                    await reader.read(Trial("ml", "fraud", "0123456789"), 60)
            assert len(server.requests) == 1
            reader.close()

    asyncio.run(scenario())


def test_the_past_keeps_the_present_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads of the present and one of the past: a slow moment takes none of the four."""
    monkeypatch.setattr("assay.members.evidence.PATIENCE_SECONDS", 0.1)

    async def scenario() -> None:
        async with running() as (server, _):
            server.delay[f"GET {PROXY}/api/v1/query"] = 0.6
            source = PrometheusSource(service="monitoring/prometheus:9090")
            reader = PrometheusReader(source, Credentials(server=server.url))
            for name in ("a", "b", "c", "d", "e"):
                with pytest.raises(EvidenceUnavailable, match="did not answer within"):
                    await reader.read(Trial("ml", name, "0123456789"), 60, 1700000000.0)
            assert len(server.requests) == 1
            server.delay.clear()
            server.refuse[f"GET {PROXY}/api/v1/query"] = (503, "no endpoints available")
            with pytest.raises(EvidenceUnavailable, match="no endpoints available"):
                await reader.read(Trial("ml", "a", "0123456789"), 60)
            reader.close()

    asyncio.run(scenario())


def test_the_token_goes_to_the_api_server_and_not_to_a_url() -> None:
    for source, expected in (
        (PrometheusSource(service="monitoring/prometheus:9090"), "Bearer t0ken"),
        (PrometheusSource(url="https://prometheus.example.com"), None),
    ):
        reader = PrometheusReader(source, Credentials(server="https://x", token="t0ken"))
        reader._sign()
        assert reader._session.headers.get("Authorization") == expected
        reader.close()


def test_slow_numbers_keep_nobody_elses_and_no_counts_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users may ask what takes long: in threads of their own, one question at a time each."""
    monkeypatch.setattr("assay.members.evidence.PATIENCE_SECONDS", 0.1)

    async def scenario() -> None:
        async with running() as (server, _):
            server.delay[f"GET {PROXY}/api/v1/query"] = 0.6
            source = PrometheusSource(service="monitoring/prometheus:9090")
            reader = PrometheusReader(source, Credentials(server=server.url))
            for _ in range(2):
                for guard in ("a", "b", "c", "d", "e"):
                    with pytest.raises(EvidenceUnavailable, match="did not answer within"):
                        await reader.number(("ml", "fraud", guard), "up")
            assert len(server.requests) == 5
            server.delay.clear()
            server.refuse[f"GET {PROXY}/api/v1/query"] = (503, "no endpoints available")
            with pytest.raises(EvidenceUnavailable, match="no endpoints available"):
                await reader.read(Trial("ml", "fraud", "0123456789"), 60)
            with pytest.raises(EvidenceUnavailable, match="no endpoints available"):
                await reader.number(("other", "fraud", "a"), "up")
            reader.close()

    asyncio.run(scenario())
