"""What one model takes and gives, as the protocol needs to know it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from assay_server.protocol.errors import ProtocolError, quoted

# Output tensors in the order in which they are answered. The receipt always comes, contributions
# only to those that ask for them by name.
PREDICT = "predict"
PROBABILITIES = "predict_proba"
DECISIONS = "decision_function"
CONTRIBUTIONS = "contributions"
RECEIPT = "receipt"
OUTPUTS = (PREDICT, PROBABILITIES, DECISIONS, RECEIPT)
_ALL = (PREDICT, PROBABILITIES, DECISIONS, CONTRIBUTIONS, RECEIPT)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which outputs a request wants, and which of them as binary data after the JSON."""

    names: frozenset[str]
    binary: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Signature:
    """A model's inputs and outputs.

    Attributes
    ----------
    model, version
        Names in paths and answers.
    classes
        Class names, in the order of the columns of `predict_proba`.
    integers
        The classes as integers when all of them are whole numbers; `predict` is then INT64.
    features
        How many features the model takes; None if it does not say.
    feature_names
        The model's columns in its order; None if it knows no names.
    categorical
        Columns that are passed on as they come (text, integers, booleans) instead of as float64.
    missing
        Columns in which a missing value (null, NaN) may reach the model.
    probabilities
        Whether there is a `predict_proba` of shape (n, K).
    decisions
        Width of `decision_function`: 1 for shape (n,), more for (n, width), 0 for none.
    contributions
        For how many rows at once `contributions` are answered; 0: the model has none.
    platform
        What runs the model, for clients that want to know.
    """

    model: str
    version: str
    classes: tuple[str, ...]
    integers: tuple[int, ...] | None = None
    features: int | None = None
    feature_names: tuple[str, ...] | None = None
    categorical: frozenset[int] = frozenset()
    missing: frozenset[int] = frozenset()
    probabilities: bool = True
    decisions: int = 0
    contributions: int = 0
    platform: str = "sklearn"
    properties: tuple[tuple[str, str], ...] = ()
    outputs: tuple[str, ...] = field(init=False)
    everything: Selection = field(init=False)
    everything_binary: Selection = field(init=False)

    def __post_init__(self) -> None:
        """Work out which outputs there are."""
        has = {
            PROBABILITIES: self.probabilities,
            DECISIONS: self.decisions > 0,
            CONTRIBUTIONS: self.contributions > 0,
        }
        outputs = tuple(name for name in _ALL if has.get(name, True))
        object.__setattr__(self, "outputs", outputs)
        names = frozenset(outputs) - {CONTRIBUTIONS}
        object.__setattr__(self, "everything", Selection(names))
        object.__setattr__(self, "everything_binary", Selection(names, names))

    def output(self, name: str) -> tuple[str, list[int]]:
        """Return datatype and shape of an output; -1 stands for the number of rows."""
        if name == PREDICT:
            return ("BYTES" if self.integers is None else "INT64"), [-1]
        if name == PROBABILITIES:
            return "FP64", [-1, len(self.classes)]
        if name == DECISIONS:
            return "FP64", [-1] if self.decisions == 1 else [-1, self.decisions]
        if name == CONTRIBUTIONS:
            width, classes = self.features or -1, len(self.classes)
            return "FP64", [-1, width] if classes == 2 else [-1, classes, width]
        return "BYTES", [-1]

    def column(self, index: int) -> str:
        """Return how an error names a column: its place, and its name if it has one."""
        names = self.feature_names
        return f"column {index}" + (f" ({names[index]!r})" if names and index < len(names) else "")

    def select(
        self, wanted: Sequence[tuple[str, bool | None]] | None, *, binary: bool = False
    ) -> Selection:
        """Return the outputs that a request wants.

        Parameters
        ----------
        wanted
            Name and own wish for binary data (None: none) per requested output; none requested,
            as None or empty, means all but contributions.
        binary
            Whether outputs that say nothing themselves come as binary data.

        Raises
        ------
        ProtocolError
            With the first name that is no output of this model.
        """
        if not wanted:
            return self.everything_binary if binary else self.everything
        self._known(name for name, _ in wanted)
        wishes = {name: binary if own is None else own for name, own in wanted}
        wishes.setdefault(RECEIPT, binary)
        return Selection(
            frozenset(wishes), frozenset(name for name, wish in wishes.items() if wish)
        )

    def check_rows(self, selection: Selection, rows: int) -> None:
        """Raise ProtocolError, status 413, for contributions of more rows than are answered at once."""
        if rows > self.contributions and CONTRIBUTIONS in selection.names:
            raise ProtocolError(
                f"outputs: {CONTRIBUTIONS} are answered for at most {self.contributions} rows at once, "
                f"not {rows}; send them in parts",
                413,
            )

    def _known(self, names: Iterable[str]) -> None:
        for index, name in enumerate(names):
            if name not in self.outputs:
                known = ", ".join(self.outputs)
                raise ProtocolError(
                    f"outputs[{index}].name: {quoted(name)} is not an output of this model ({known})"
                )
