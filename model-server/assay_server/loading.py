"""From an artifact to a predictor that is ready to answer."""

import gc
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from assay_server.artifacts import Format, LoadedModel, fetch, load, local_path
from assay_server.inference import Predictor, receipt_classes
from assay_server.keys import KeyRing
from assay_server.logs import event
from assay_server.models import ModelFailedError, ScoreKind, Scorer, configure_sklearn
from assay_server.receipts import MAX_CLASS_BYTES, Issuer
from assay_server.reference import Reference, ReferenceFormatError

# A model that takes longer for so many rows gets a thread of its own.
SLOW_SECONDS = 0.001
TRIED_ROWS = 64

UNSAFE_REMARK = "a Joblib artifact: loading it ran code from it in this process"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who serves: the names that go into receipts, metrics and answers."""

    model: str
    version: str
    namespace: str
    deployment: str
    member: str
    revision: str

    def ledger_address(self) -> str:
        """Return the URL in this member's cluster to which labels belong."""
        host = f"{self.deployment}-ledger.{self.namespace}.svc"
        return f"http://{host}/v2/models/{self.model}/feedback"


def load_predictor(
    uri: str,
    digest: str,
    identity: Identity,
    keys: KeyRing,
    *,
    threshold: float | None,
    positive_label: str | None,
    trusted: Sequence[str],
    format: Format = Format.SKOPS,  # noqa: A002 - the word that users know from the manifest
    unsafe: bool = False,
    score: ScoreKind | None = None,
) -> Predictor:
    """Fetch (when the URI is not local), check and load the model, ready to answer.

    Raises ArtifactError or UnsupportedModelError.
    """
    configure_sklearn()
    loaded = _loaded(uri, digest, format, trusted, unsafe=unsafe)
    scorer = Scorer(loaded.object, threshold, positive_label, score)
    _centre(scorer, loaded.reference)
    classes = receipt_classes(scorer)
    if len("".join(classes).encode()) + len(classes) > MAX_CLASS_BYTES:
        event("classes_left_out", level=30, advice="set ASSAY_CLASSES on the ledger")
    issuer = Issuer(
        keys,
        namespace=identity.namespace,
        deployment=identity.deployment,
        member=identity.member,
        revision=identity.revision,
        classes=classes,
    )
    remarks = {"unsafe": UNSAFE_REMARK} if loaded.format is Format.JOBLIB else None
    predictor = Predictor(
        scorer, issuer, identity.model, identity.version, loaded.reference, remarks
    )
    predictor.is_slow = _settle(scorer) > SLOW_SECONDS
    return predictor


def _centre(scorer: Scorer, reference: bytes | None) -> None:
    """Take contributions against what the reference has of the training rows, if it fits."""
    if scorer.parts is None or reference is None:
        return
    try:
        means = Reference.parse(reference).contributions
        if not isinstance(means, msgspec.UnsetType):
            scorer.parts.centre(means)
    except (ReferenceFormatError, ValueError) as error:
        event("contributions_not_centred", level=30, cause=str(error))


def _loaded(
    uri: str,
    digest: str,
    format: Format,  # noqa: A002
    trusted: Sequence[str],
    *,
    unsafe: bool,
) -> LoadedModel:
    path = local_path(uri)
    if path is not None:
        return load(path, digest, trusted, format=format, unsafe=unsafe)
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(folder) / "model"
        fetch(uri, digest, fetched)
        return load(fetched, digest, trusted, format=format, unsafe=unsafe)


def _settle(scorer: Scorer) -> float:
    """Pay once, before the first client does, for what libraries set up on their first call.

    Returns the seconds that a batch takes.
    """
    rows = scorer.blank(TRIED_ROWS)
    seconds = []
    # A model may find fault with rows of zeros; then its first client warms it up.
    with suppress(ModelFailedError):
        for _ in range(3):
            start = time.perf_counter()
            scorer.score(rows)
            seconds.append(time.perf_counter() - start)
    event(
        "model_opened",
        engine=scorer.engine,
        reason=scorer.engine_reason,
        proven_rows=scorer.proven_rows,
        score=scorer.score_kind,
        batch_microseconds=round(min(seconds, default=0.0) * 1e6),
    )
    gc.collect()
    gc.freeze()
    return min(seconds, default=0.0)
