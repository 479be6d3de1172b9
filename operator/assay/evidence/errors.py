"""The two ways in which evidence can fail: it is wrong, or it is not there."""


class EvidenceError(ValueError):
    """Counts that cannot be counts.

    Attributes
    ----------
    field
        Path of the offending field, e.g. ``confusion[1][0]``.
    problem
        What is wrong with it, in words.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem

    def within(self, prefix: str) -> "EvidenceError":
        """Return the same error with `prefix` (``strata[0].canary``) put before its path."""
        return EvidenceError(f"{prefix}.{self.field}" if self.field else prefix, self.problem)


class EvidenceUnavailable(Exception):  # noqa: N818 - a state of the world, not a fault
    """A member's counts could not be read in full. It says nothing about the model: hold.

    Attributes
    ----------
    reason
        One of the CamelCase constants below.
    message
        What happened, with the numbers, for a person.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
"""No answer, or an answer that is not a successful query result."""

DATA_STALE = "DataStale"
"""The newest sample of the ledger is too old, or the ledger has never been scraped."""

SERIES_BUDGET_EXCEEDED = "SeriesBudgetExceeded"
"""The query matches more series than one look may read."""

WARNINGS_IN_REPLY = "WarningsInReply"
"""Prometheus answered with warnings: the result may be partial, and partial counts are wrong."""

HISTORY_INCOMPLETE = "HistoryIncomplete"
"""Earlier moments of the trial have not all been read again since the operator's restart."""

MALFORMED_REPLY = "MalformedReply"
"""A series is not one that a ledger exposes: a label is missing or its value is not a count."""

LEDGER_AMBIGUOUS = "LedgerAmbiguous"
"""Two different stores report at once: their counters must not be mixed."""

GUARD_NO_DATA = "GuardNoData"
"""A guard's query gave no number in a member, or could not be asked there."""

GUARD_AMBIGUOUS = "GuardAmbiguous"
"""A guard's query gave several series where one number is needed."""
