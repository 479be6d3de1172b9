"""Evidence: cumulative counts of labelled predictions, and how they are read.

`counts` holds the pure types and their algebra (sums merge), `member` what one member cluster
reported and how several members become strata, `reply` turns a Prometheus answer into that, and
`prometheus` is the only file here that talks to the network. Importing this package imports no
client library.
"""

from assay.evidence.counts import ArmCounts, Evidence, Stratum, merge
from assay.evidence.errors import EvidenceError, EvidenceUnavailable
from assay.evidence.histogram import ScoreHistogram
from assay.evidence.member import MemberEvidence, RevisionCounts, combine

__all__ = [
    "ArmCounts",
    "Evidence",
    "EvidenceError",
    "EvidenceUnavailable",
    "MemberEvidence",
    "RevisionCounts",
    "ScoreHistogram",
    "Stratum",
    "combine",
    "merge",
]
