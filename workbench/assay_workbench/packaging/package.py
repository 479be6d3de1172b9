"""Makes the artifact: stores the model, shows that it is the same model, signs it, writes the manifest.

DATA are read three times, a batch at a time: for the reference of drift and the calibration, for the
comparison with the model as it was trained, and for the figures. Nothing has its name before
everything is proven, and the manifest comes last.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay_server.reference import Reference, ReferenceFormatError
from assay_workbench import artifact
from assay_workbench.candidate import Candidate, ModelFailedError, Rule, ScoreKind
from assay_workbench.dataset import Batch, Dataset
from assay_workbench.errors import WorkbenchError
from assay_workbench.estimation import quality_of
from assay_workbench.evaluation import Evaluation, Settings, evaluate
from assay_workbench.packaging.fidelity import SINGLE, TOLERANCE, Fidelity, Original, Rows, compare
from assay_workbench.packaging.manifest import Identity, manifest, short
from assay_workbench.packaging.onnx import store_as_onnx
from assay_workbench.packaging.signing import placed
from assay_workbench.packaging.trained import Trained
from assay_workbench.sample import Floats, Indexes
from assay_workbench.scoring import Question, columns_of, labels_of, rows_of, score

MOST_ROWS = 100_000
"""Rows kept for the reference and the calibration: every second, fourth ... one of a larger table."""

MEMORY = 2**28
OWN = ("sklearn", "numpy", "scipy", "builtins", "collections")
"""What the image of the model server has."""

MANIFEST = "modeldeployment.yaml"


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes
    ----------
    calibrate
        "sigmoid" or "isotonic"; `None` leaves the scores as they are.
    onnx
        Whether the artifact is ONNX; else it is skops.
    sign
        Signs a file into another one; `None` if it is not to be signed.
    """

    trained: Trained
    dataset: Dataset
    folder: Path
    identity: Identity
    rule: Rule
    calibrate: str | None = None
    onnx: bool = False
    sign: Callable[[Path, Path], None] | None = None


@dataclass(frozen=True)
class Package:
    """What was made.

    Attributes
    ----------
    untrusted
        Types that the server has to trust by name.
    foreign
        Modules of which the server's image has none.
    fidelity
        How near the artifact is to the model as it was trained.
    evaluation
        Figures on DATA.
    """

    artifact: Path
    manifest: Path
    signature: Path | None
    digest: str
    untrusted: tuple[str, ...]
    foreign: tuple[str, ...]
    fidelity: Fidelity
    evaluation: Evaluation


@dataclass
class Kept:
    """Some rows of a table of unknown length, evenly: every `step`-th, and the step doubles.

    Attributes
    ----------
    rows, labels
        By batch.
    """

    most: int = MOST_ROWS
    step: int = 1
    seen: int = 0
    rows: list[Rows] = field(default_factory=list)
    labels: list[Indexes] = field(default_factory=list)

    def add(self, rows: Rows, labels: Indexes) -> None:
        """Take in the next rows."""
        start = -self.seen % self.step
        self.seen += len(rows)
        self.rows.append(rows[start :: self.step])
        self.labels.append(labels[start :: self.step])
        while sum(map(len, self.rows)) > self.most:
            self.step *= 2
            kept, classes = self.all()
            self.rows, self.labels = [kept[::2]], [classes[::2]]

    def all(self) -> tuple[Rows, Indexes]:
        """Return what is kept."""
        return np.concatenate(self.rows), np.concatenate(self.labels)


def package(order: Order, shown: Callable[[str], object] = str) -> Package:
    """Make a package. `shown` is called with what is done next.

    Raises `WorkbenchError`; then nothing is left behind.
    """
    order.identity.check()
    order.dataset.check([order.dataset.label])
    with _workshop(order.folder) as workshop:
        held = workshop
        shown("storing the model")
        model = order.trained.model
        candidate, _ = _stored(order, model, workshop, None)
        if order.rule.positive is not None:
            _positive(order, candidate)
        shown("reading DATA")
        kept = _kept(order, candidate)
        rows, labels = kept.all()
        if order.calibrate is not None:
            shown("calibrating")
            model = _calibrated(order, model, candidate, rows, labels)
            candidate, _ = _stored(order, model, workshop, None)
        shown("describing DATA for drift")
        reference = _reference(order, candidate, rows, labels)
        candidate, digest = _stored(order, model, workshop, reference)
        untrusted = artifact.untrusted(workshop)
        if order.onnx:
            shown("storing it as ONNX")
            held = workshop.with_suffix(".onnx")
            candidate = store_as_onnx(workshop, held, candidate, reference, untrusted)
            digest, untrusted = candidate.digest, ()
        shown("comparing with the model as it was trained")
        fidelity = _compared(order, model, candidate)
        shown("measuring")
        with score(order.dataset, Question((candidate,), order.rule.positive), MEMORY) as sample:
            evaluation = evaluate(sample, Settings())
        text = manifest(
            order.identity,
            _file(order, digest),
            digest,
            candidate,
            evaluation.positive if len(candidate.classes) == 2 else None,
            onnx=order.onnx,
            signed=order.sign is not None,
        )
        made, signature = placed(held, order.folder / _file(order, digest), order.sign)
    path = order.folder / MANIFEST
    with artifact.replaced(path) as file:
        file.write(text.encode())
    return Package(
        made, path, signature, digest, untrusted, _foreign(untrusted), fidelity, evaluation
    )


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Yield the path of the artifact to be, in a directory that goes with the block."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".package-") as place:
            yield Path(place) / "model.skops"
    except OSError as error:
        raise WorkbenchError(f"{error.filename or folder}: {error.strerror or error}") from None


def _file(order: Order, digest: str) -> str:
    return f"{order.identity.name}-{short(digest)}.{'onnx' if order.onnx else 'skops'}"


def _stored(
    order: Order, model: Any, path: Path, reference: Reference | None
) -> tuple[Candidate, str]:
    """Store a model and load it as the server does; return its digest too."""
    try:
        digest = artifact.write(model, path, reference)
    except WorkbenchError as error:
        raise WorkbenchError(str(error).replace(str(path), str(order.trained.path))) from None
    try:
        candidate = Candidate(path, order.rule, artifact.untrusted(path))
    except WorkbenchError as error:
        raise WorkbenchError(str(error).replace(str(path), str(order.trained.path))) from None
    # It is named in messages, and the person knows it by this name.
    candidate.path = order.trained.path
    return candidate, digest


def _foreign(types: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({each.partition(".")[0] for each in types} - set(OWN)))


def _batches(order: Order, candidate: Candidate) -> Iterator[tuple[Batch, Rows]]:
    label = order.dataset.label
    names = columns_of(order.dataset, candidate, [label])
    for batch in order.dataset.batches(sorted({*names, label})):
        yield batch, rows_of(order.dataset, batch, candidate, names)


def _kept(order: Order, candidate: Candidate) -> Kept:
    known = {name: place for place, name in enumerate(candidate.classes)}
    kept = Kept()
    for batch, rows in _batches(order, candidate):
        kept.add(rows, labels_of(order.dataset, order.dataset.label, batch, known))
    if not kept.seen:
        raise WorkbenchError(f"{order.dataset.path}: has no rows")
    return kept


def _calibrated(order: Order, model: Any, candidate: Candidate, rows: Rows, labels: Indexes) -> Any:
    few = np.bincount(labels, minlength=len(candidate.classes)) < 2
    if few.any():
        name = candidate.classes[int(few.argmax())]
        raise WorkbenchError(
            f"--calibrate: {order.dataset.path} has fewer than two rows of class {name!r}"
        )
    table = Original(model, candidate).table(rows)
    try:
        return _with_calibration(
            model, table, np.asarray(model.classes_)[labels], str(order.calibrate)
        )
    except ValueError as error:
        raise WorkbenchError(f"--calibrate: {' '.join(str(error).split())[:300]}") from None


def _with_calibration(model: Any, table: Any, labels: NDArray[Any], method: str) -> Any:
    """Return a model whose scores are calibrated on rows; the fitted parts stay as they are.

    Of a pipeline the last step is calibrated, so that everybody still sees its columns and steps.
    """
    from sklearn.calibration import CalibratedClassifierCV  # noqa: PLC0415
    from sklearn.frozen import FrozenEstimator  # noqa: PLC0415

    if not hasattr(model, "steps"):
        found = CalibratedClassifierCV(FrozenEstimator(model), method=method, ensemble=False)
        return found.fit(table, labels)
    name, last = model.steps[-1]
    before = table if len(model.steps) == 1 else model[:-1].transform(table)
    last = _with_calibration(last, before, labels, method)
    return type(model)([*model.steps[:-1], (name, last)])


def _reference(order: Order, candidate: Candidate, rows: Rows, labels: Indexes) -> Reference:
    scores: tuple[str, Floats] | None = None
    quality = None
    try:
        if candidate.kind is ScoreKind.PROBABILITY:
            said = candidate.score(rows)
            positive = None
            if candidate.positive is not None and said.probabilities is not None:
                place = _positive(order, candidate)
                positive = candidate.classes[place]
                scores = positive, said.probabilities[:, place]
            # Rows that the scores were calibrated on would flatter them.
            if order.calibrate is None:
                quality = quality_of(
                    candidate.classes, labels, said.predicted, said.probabilities, positive
                )
        return Reference.of(
            rows,
            candidate.feature_names,
            categorical=candidate.text,
            scores=scores,
            quality=quality,
            contributions=candidate.contribution_means(rows),
        )
    except (ReferenceFormatError, ModelFailedError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        raise WorkbenchError(
            f"{order.dataset.path}: no reference can be made of it: {error}{cause}"
        ) from None


def _compared(order: Order, model: Any, candidate: Candidate) -> Fidelity:
    original = Original(model, candidate)
    found = Fidelity(SINGLE if order.onnx else TOLERANCE)
    for batch, rows in _batches(order, candidate):
        try:
            served = candidate.score(rows)
        except ModelFailedError as error:
            raise WorkbenchError(
                f"{order.dataset.path}: from row {batch.first} on: {error} ({error.__cause__})"
            ) from None
        compare(batch.first, original.ask(rows), served, candidate, found)
    return found


def _positive(order: Order, candidate: Candidate) -> int:
    """Return the place of a binary model's positive class. Raises `WorkbenchError`."""
    asked = order.rule.positive
    if len(candidate.classes) != 2:
        raise WorkbenchError(
            f"--positive: is for two classes, and the model has {len(candidate.classes)}"
        )
    if asked is not None and asked not in candidate.classes:
        raise WorkbenchError(
            f"--positive: {asked!r} is no class of the model, which knows {', '.join(candidate.classes)}"
        )
    return 1 if asked is None else candidate.classes.index(asked)
