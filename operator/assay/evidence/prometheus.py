"""Reads a member's counts from its Prometheus: the one file of this package with I/O.

One instant query per member and look. It asks for the counters as they stand; `rate()` and
`increase()` extrapolate to the edges of their window and are no counts. Ledger counters are
cumulative and backed by a store, so two overlapping pods of one ledger are merged by `max`. Serving
pods are mortal and count in memory: the largest value each process (`boot`) ever showed since the
trial began is summed, so the rows of a pod that died still count.

Every operand of `or` carries the label `part`, because `or` compares label sets without the metric
name and would drop one counter in favour of another with the same labels.
"""

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from assay.evidence import errors
from assay.evidence.errors import EvidenceUnavailable
from assay.evidence.member import MemberEvidence
from assay.evidence.promql import quoted
from assay.evidence.reply import (
    LEDGER_COUNTERS,
    LEDGER_LABELS,
    PART,
    member_evidence,
    series_counted,
)

SERIES_BUDGET = 100_000
"""Series that one look may read: two revisions x strata x (K^2 + 2 x non-empty score cells).

A ledger shows at most 4 525 score cells per revision, step and label; ten steps of a calibrated model
are 20 000 series, of one whose scores all saturate 72 000 (model-server/README.md).
"""

MOST_NUMBERS = 100
"""Series that the answer to a question for one number may bring: to say how many there are."""

STALE_AFTER_INTERVALS = 3
"""Scrape intervals after which the newest sample is too old to decide by."""


class Trial(NamedTuple):
    """Whose counts are read.

    Attributes
    ----------
    namespace, deployment, rollout
        Of the ModelDeployment; any text, it is escaped.
    label_age_seconds
        Labels count from this age of their request on, so rows served since then cannot have one
        yet: what was served is read as it stood that long ago.
    earlier
        Rollouts that this one continues, whose counts are read too; no two have a step in common.
    """

    namespace: str
    deployment: str
    rollout: str
    label_age_seconds: int = 0
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """A vector and the warnings that came with it."""

    rows: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]


class Connection:
    """A member's Prometheus, over one requests session.

    Parameters
    ----------
    url
        Base URL, e.g. that of a Service proxied by an API server.
    session
        Carries credentials, CA and adapters; its own adapter for `url` stays mounted. A new
        session without retries by default: the next look is the retry.
    timeout_seconds
        Of each request, connecting and reading.
    """

    def __init__(
        self, url: str, *, session: requests.Session | None = None, timeout_seconds: float = 10.0
    ) -> None:
        url = url.rstrip("/")
        self.url = without_userinfo(url)
        session = session or requests.Session()
        adapter = session.get_adapter(url)
        self._client = PrometheusConnect(
            url=url,
            session=session,
            retry=Retry(total=0),
            timeout=timeout_seconds,
        )
        session.mount(url, adapter)  # the client mounts one of its own over the caller's
        self._seen = threading.local()
        session.hooks["response"].append(self._read_reply)

    def query(self, promql: str, *, limit: int = 0, at: float | None = None) -> Reply:
        """Ask an instant query for a vector of at most `limit` series (0: no limit).

        It is evaluated at `at` (Unix seconds) or now.

        Raises `EvidenceUnavailable` with reason ``PrometheusUnreachable`` for anything but a
        vector: no connection, time-out, refused, or a reply that is not Prometheus's.
        """
        self._seen.warnings = ()
        parameters = {"limit": str(limit)} if limit else {}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        try:
            rows = self._client.custom_query(promql, parameters)
        except (requests.RequestException, PrometheusApiClientException) as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise self._unreachable(f"the reply is not one of Prometheus: {error!r}") from error
        if not isinstance(rows, list):
            raise self._unreachable("the reply holds no vector")
        return Reply(rows, self._seen.warnings)

    def close(self) -> None:
        """Close the session."""
        self._client.close()

    def _read_reply(self, response: requests.Response, **_: object) -> None:
        """Decode the reply, and keep the warnings that `custom_query` drops.

        Called by requests in the thread that asked. Replies have hundreds of rows, and the standard
        library takes twice as long for them. What is no JSON `custom_query` meets and reports.
        """
        try:
            body = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            return
        response.json = lambda **_: body  # type: ignore[method-assign]
        if isinstance(body, dict):
            self._seen.warnings = tuple(str(text) for text in body.get("warnings") or ())

    def _unreachable(self, why: object) -> EvidenceUnavailable:
        return EvidenceUnavailable(
            errors.PROMETHEUS_UNREACHABLE,
            f"{self.url} did not answer: {without_userinfo(str(why))[:300]}",
        )


def read(
    connection: Connection,
    trial: Trial,
    *,
    scrape_interval_seconds: float,
    window_seconds: float,
    series_budget: int = SERIES_BUDGET,
    at: float | None = None,
) -> MemberEvidence:
    """Read the counts of one trial in one member, as they stand now or stood then. One request.

    Parameters
    ----------
    connection
        To the member's Prometheus.
    trial
        Whose counts.
    scrape_interval_seconds
        Data older than three of these is refused.
    window_seconds
        How far back serving pods may have died; at least the age of the trial (at `at`).
    series_budget
        More series than this are refused.
    at
        An earlier moment, in Unix seconds; `None` for now. What is too old is then judged by that
        moment, too: ``time()`` in a query is the time at which it is evaluated.

    Raises
    ------
    EvidenceUnavailable
        With a reason of `assay.evidence.errors`. Never partial counts.
    """
    promql = query_text(trial, window_seconds)
    reply = connection.query(promql, limit=series_budget + 1, at=at)
    counted = series_counted(reply.rows)
    if len(reply.rows) > series_budget or (counted or 0) > series_budget:
        seen = f"{counted}" if counted is not None else f"more than {series_budget}"
        raise EvidenceUnavailable(
            errors.SERIES_BUDGET_EXCEEDED,
            f"{trial.deployment} has {seen} series in trial {trial.rollout}, the budget is {series_budget}: "
            "fewer steps, fewer classes or a coarser score grid",
        )
    _refuse_warnings(reply)
    evidence = member_evidence(reply.rows, trial.deployment)
    allowed = STALE_AFTER_INTERVALS * scrape_interval_seconds
    if evidence.age_seconds > allowed:
        raise EvidenceUnavailable(
            errors.DATA_STALE,
            f"the newest sample of the ledger of {trial.deployment} is {evidence.age_seconds:.1f} s old, "
            f"at most {allowed:g} s ({STALE_AFTER_INTERVALS} scrape intervals) are allowed",
        )
    return evidence


def read_number(connection: Connection, promql: str) -> float | None:
    """Ask for one number as it is now; `None` when there is no series or its value is no number.

    Raises
    ------
    EvidenceUnavailable
        ``GuardAmbiguous`` for several series, ``WarningsInReply``, ``PrometheusUnreachable``.
    """
    reply = connection.query(promql, limit=MOST_NUMBERS)
    if len(reply.rows) > 1:
        more = " or more" if len(reply.rows) == MOST_NUMBERS else ""
        raise EvidenceUnavailable(
            errors.GUARD_AMBIGUOUS,
            f"the query gave {len(reply.rows)}{more} series, one is needed: aggregate, for instance with sum()",
        )
    _refuse_warnings(reply)
    for row in reply.rows:
        try:
            _, text = row["value"]
            number = float(text)
        except (KeyError, TypeError, ValueError):
            raise EvidenceUnavailable(
                errors.MALFORMED_REPLY, "the query gave no number but, maybe, a histogram"
            ) from None
        return number if math.isfinite(number) else None
    return None


def read_vector(connection: Connection, promql: str, limit: int) -> Sequence[Mapping[str, Any]]:
    """Ask for several series as they are now.

    Raises
    ------
    EvidenceUnavailable
        ``SeriesBudgetExceeded`` for more than `limit`, ``WarningsInReply``,
        ``PrometheusUnreachable``. Never a part of them.
    """
    reply = connection.query(promql, limit=limit + 1)
    if len(reply.rows) > limit:
        message = f"a question has more than {limit} series as its answer"
        raise EvidenceUnavailable(errors.SERIES_BUDGET_EXCEEDED, message)
    _refuse_warnings(reply)
    return reply.rows


def _refuse_warnings(reply: Reply) -> None:
    """Raise `EvidenceUnavailable` if Prometheus says that an answer may not be whole."""
    if reply.warnings:
        raise EvidenceUnavailable(
            errors.WARNINGS_IN_REPLY, "Prometheus warns: " + "; ".join(reply.warnings)[:300]
        )


def requests_text(trial: Trial, revision: str, window_seconds: float) -> str:
    """Return the PromQL for the requests that `revision` answered, or failed, in the trial so far.

    Failures are counted since the revision's pods started: one that answers nothing has served, too.
    """
    own = (
        f"namespace={quoted(trial.namespace)},deployment={quoted(trial.deployment)},"
        f"revision={quoted(revision)}"
    )
    past = f"[{max(1, math.ceil(window_seconds))}s]"
    answered = (
        f"max by (boot, step) (max_over_time(assay_requests_total"
        f"{{{own},rollout={quoted(trial.rollout)}}}{past}))"
    )
    failed = f"max_over_time(assay_request_errors_total{{{own}}}{past})"
    return f"sum({answered} or {_marked(failed, 'failed')})"


def without_userinfo(text: str) -> str:
    """Return `text` without the ``user:password@`` of any URL in it: messages go to conditions."""
    return re.sub(r"//[^\s\"']*@", "//", text)


def query_text(trial: Trial, window_seconds: float) -> str:
    """Return the PromQL of `read`. Values are escaped; times are whole seconds, rounded up."""
    target = f"namespace={quoted(trial.namespace)},deployment={quoted(trial.deployment)}"
    own = f"{target},rollout={quoted(trial.rollout)}"
    if trial.earlier:
        every = "|".join(re.escape(rollout) for rollout in (*trial.earlier, trial.rollout))
        own = f"{target},rollout=~{quoted(every)}"
    ledger = f'{{__name__=~"{"|".join(LEDGER_COUNTERS)}",{own}}}'
    info = f"assay_ledger_info{{{target}}}"
    age = f"min by (store, positive) (time() - timestamp({info}))"
    past = f"[{max(1, math.ceil(window_seconds))}s]"
    if trial.label_age_seconds > 0:
        past += f" offset {trial.label_age_seconds}s"
    named = f'label_replace({ledger}, "{PART}", "$1", "__name__", "(.+)")'
    parts = (
        _marked(f"count({ledger})", "series"),  # first: a reply cut at the limit still holds it
        _marked(age, "age"),
        _of_all_boots("assay_served_total", own, past, ("revision", "step", "predicted")),
        _of_all_boots("assay_requests_total", own, past, ("revision", "step")),
        f"max by ({', '.join((PART, *LEDGER_LABELS))}) ({named})",
    )
    return " or ".join(parts)


def _of_all_boots(counter: str, own: str, past: str, labels: tuple[str, ...]) -> str:
    """Sum the largest value that each serving process ever showed."""
    largest = f"max by (boot, {', '.join(labels)}) (max_over_time({counter}{{{own}}}{past}))"
    return _marked(f"sum by ({', '.join(labels)}) ({largest})", counter)


def _marked(operand: str, part: str) -> str:
    return f'label_replace({operand}, "{PART}", "{part}", "", "")'
