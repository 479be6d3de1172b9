"""The chart's alerts in a real Prometheus: each is raised by what it is about, and by nothing else.

The program of the fleet, without a cluster: it scrapes this process, which shows the operator's own
registry and counters of servers and ledgers that grow as in bad times for one ModelDeployment, and as in good ones
for another.
"""

import http.server
import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from typing_extensions import override

from assay.api.conditions import ConditionType, condition
from assay.controller import metrics
from fleet import programs
from fleet.progress import Silent
from tests.queries import FILES, alerts, queries

pytestmark = pytest.mark.cluster

PROBLEMS = [
    condition(ConditionType.STALLED, True, "RolledBack"),
    condition(ConditionType.PAUSED, True, "WaitingForApproval"),
    condition(ConditionType.AVAILABLE, False, "NotAvailable"),
    condition(ConditionType.PLACED, False, "CapacityExceeded"),
    condition(ConditionType.USERS_KEPT, False, "UsersNotKept"),
    condition(ConditionType.DRIFT_DETECTED, True, "DiffersFromTraining"),
    condition(ConditionType.QUALITY_DECAYED, True, "LabelledQualityFell"),
]
GROWING = """\
assay_request_errors_total{{deployment="{0}",revision="1",code="500"}} {1}
assay_request_errors_total{{deployment="{0}",revision="1",code="400"}} {2}
assay_request_duration_seconds_count{{deployment="{0}",revision="1"}} {2}
assay_rejected_total{{deployment="{0}",revision="1"}} {1}
assay_spool_dropped_total{{deployment="{0}",revision="1",reason="full"}} {1}
assay_labels_total{{deployment="{0}",result="forged"}} {1}
assay_labels_total{{deployment="{0}",result="counted"}} {2}
assay_ledger_commit_duration_seconds_bucket{{deployment="{0}",le="0.01"}} {3}
assay_ledger_commit_duration_seconds_bucket{{deployment="{0}",le="5"}} {2}
assay_ledger_commit_duration_seconds_bucket{{deployment="{0}",le="+Inf"}} {2}
"""


def exposition(began: float) -> str:
    """What a scrape reads: the operator, then servers and ledgers; `began` is when the counters were 0."""
    metrics.RECONCILE_SECONDS.observe(20)
    metrics.RECONCILE_ERRORS.labels("ml", "bad").inc(100)
    metrics.RECONCILE_ERRORS.labels("ml", "good").inc(0)
    count = int(100 * (time.monotonic() - began))
    lease = f'kube_lease_renew_time{{namespace="assay-system",lease="assay"}} {time.time() - 600}\n'
    bad, good = GROWING.format("bad", count, count, 0), GROWING.format("good", 0, count, count)
    return generate_latest(metrics.REGISTRY).decode() + bad + good + lease


@pytest.fixture(scope="module")
def scraped() -> Iterator[str]:
    """Address of what is scraped: ``host:port``."""
    began = time.monotonic()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = exposition(began).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    metrics.show_problems("ml", "bad", PROBLEMS)
    for name, reason in (("unread", "DataStale"), ("untrusted", "SampleRatioMismatch")):
        held = condition(ConditionType.EVIDENCE_SUFFICIENT, False, reason)
        metrics.show_problems("ml", name, [held])
    undecided = condition(ConditionType.EVIDENCE_SUFFICIENT, False, "BurnIn")
    metrics.show_problems("ml", "good", [undecided])
    metrics.MEMBER_REACHABLE.labels("east").set(0)
    metrics.MEMBER_REACHABLE.labels("west").set(1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    for name in ("bad", "good", "unread", "untrusted"):
        metrics.show_problems("ml", name, ())


@pytest.fixture(scope="module")
def prometheus(scraped: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its API; it has scraped some times."""
    programs.build([programs.PROMETHEUS], Silent())
    directory = tmp_path_factory.mktemp("prometheus")
    address = f"127.0.0.1:{int(scraped.rpartition(':')[2]) % 20000 + 20000}"
    (directory / "prometheus.yml").write_text(configuration(scraped))
    command = [
        str(programs.PROMETHEUS.path),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address={address}",
    ]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        url = f"http://{address}/api/v1"
        deadline = time.monotonic() + 60
        while not scrapes(url):
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.25)
        yield url
    finally:
        process.terminate()
        process.wait()


def configuration(scraped: str) -> str:
    # A scrape that does not honour labels, as of annotated pods: the harder case for the alerts.
    target = {"targets": [scraped], "labels": {"namespace": "ml", "pod": "all"}}
    document = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(path) for path in sorted(FILES.glob("rules/*.yaml"))],
        "scrape_configs": [
            {
                "job_name": "all",
                "static_configs": [target],
                # kube-state-metrics is scraped with its own labels.
                "metric_relabel_configs": [
                    {
                        "source_labels": ["__name__", "exported_namespace"],
                        "regex": "kube_.*;(.+)",
                        "target_label": "namespace",
                    }
                ],
            }
        ],
    }
    return yaml.safe_dump(document)


def ask(url: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{url}/{path}?{urllib.parse.urlencode(query)}") as answer:
        return json.load(answer)["data"]


def scrapes(url: str) -> bool:
    try:
        return bool(ask(url, "query", query="count_over_time(up[1m]) > 4")["result"])
    except OSError:
        return False


def raised(url: str) -> dict[str, list[dict[str, str]]]:
    """Labels of what is pending or firing, by alert."""
    groups = ask(url, "rules", type="alert")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [rule["name"] for rule in rules] == [alert["alert"] for alert in alerts()]
    return {rule["name"]: [alert["labels"] for alert in rule["alerts"]] for rule in rules}


def test_every_alert_is_raised_by_what_it_is_about_only(prometheus: str) -> None:
    wanted = {alert["alert"] for alert in alerts()} - {"AssayOperatorDown"}
    deadline = time.monotonic() + 60
    while {name for name, found in raised(prometheus).items() if found} != wanted:
        assert time.monotonic() < deadline, raised(prometheus)
        time.sleep(0.5)
    found = raised(prometheus)
    for name, instances in found.items():
        whose = {labels["deployment"] for labels in instances if "deployment" in labels}
        assert whose <= {"bad", "unread", "untrusted"}, name
        assert len(instances) == (name in wanted), name
    assert found["AssayMemberUnreachable"][0]["member"] == "east"
    assert found["AssayEvidenceUnreadable"][0]["deployment"] == "unread"
    assert found["AssayEvidenceUntrusted"][0]["deployment"] == "untrusted"


def test_an_operator_that_is_not_scraped_is_missed(prometheus: str) -> None:
    [query] = [alert["expr"] for alert in alerts() if alert["alert"] == "AssayOperatorDown"]
    assert ask(prometheus, "query", query=query)["result"] == []
    assert ask(prometheus, "query", query=query, time="1000")["result"]


@pytest.mark.parametrize("query", queries().values(), ids=queries().keys())
def test_prometheus_takes_the_query(prometheus: str, query: str) -> None:
    assert "result" in ask(prometheus, "query", query=query)


def test_texts_of_alerts_say_whose_they_are(prometheus: str) -> None:
    groups = ask(prometheus, "rules", type="alert")["groups"]
    texts = [
        alert["annotations"]["summary"]
        for group in groups
        for rule in group["rules"]
        for alert in rule["alerts"]
        if "deployment" in alert["labels"]
    ]
    assert texts
    for text in texts:
        assert "ml/" in text
        assert "<no value>" not in text
