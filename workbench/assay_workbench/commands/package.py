"""``assay package MODEL --reference DATA``: from a trained model to an artifact and a manifest."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from assay.cli.document import InputError
from assay_workbench.commands.evaluate import missing

if TYPE_CHECKING:
    from assay_workbench.figure import Figure
    from assay_workbench.packaging.package import Order, Package

WIDTH = 110
SHOWN = ("Accuracy", "F1", "ROCAUC", "AveragePrecision", "LogLoss", "Brier")


@click.command("package", short_help="From a trained model to an artifact and a manifest.")
@click.argument("model", metavar="MODEL", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--reference",
    "data",
    required=True,
    metavar="DATA",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV or Parquet with labelled rows that the model has not seen.",
)
@click.option("--label", default="label", show_default=True, help="Column of the true classes.")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the artifact, its signature and modeldeployment.yaml.",
)
@click.option(
    "--run-code-in-file",
    is_flag=True,
    help="Open MODEL although opening a pickle runs whatever code is in it.",
)
@click.option("--name", help="Of the ModelDeployment; else made from MODEL's name.")
@click.option("--namespace", default="default", show_default=True, help="Of the ModelDeployment.")
@click.option("--version", help="As people call it; else the first digits of the digest.")
@click.option(
    "--uri-prefix", metavar="URL", help="Where the artifact will be, without its file name."
)
@click.option("--positive", metavar="CLASS", help="Positive class; else the second of two.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Predict the positive class from this probability on.",
)
@click.option(
    "--calibrate",
    type=click.Choice(["sigmoid", "isotonic"]),
    help="Calibrate the scores on DATA.",
)
@click.option("--onnx", is_flag=True, help="Make an ONNX file by skl2onnx, and no skops file.")
@click.option(
    "--sign-key",
    metavar="KEY",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Private key in PEM (ECDSA) to sign the artifact with.",
)
@click.option(
    "--trust", multiple=True, metavar="TYPE", help="A type that MODEL, a skops file, may hold."
)
@click.option("--delimiter", default=",", show_default=True, help="Of a CSV.")
def package_command(**options: Any) -> None:
    """Make an artifact that Assay serves, and its manifest, of a trained classifier.

    MODEL is a joblib or pickle file, the directory of an MLflow model with the flavour sklearn, or a
    skops file. DATA give the reference for drift, the figures that are printed, and the proof that the
    artifact, as the server loads it, says what MODEL says.

    \b
    assay package fraud.joblib --run-code-in-file --reference march.parquet --label fraud \\
      --uri-prefix https://models.example.com -o out

    Exit code 2 when something cannot be used; then nothing is written.
    """  # noqa: D301  (click's mark for text that is not to be wrapped)
    try:
        from assay_workbench.errors import WorkbenchError  # noqa: PLC0415
        from assay_workbench.packaging.package import package  # noqa: PLC0415
    except ImportError as error:
        raise missing(error) from None
    errors = Console(stderr=True)
    try:
        with errors.status("opening the model") as status:
            order = _order(options)
            made = package(order, status.update)
    except WorkbenchError as error:
        raise InputError(str(error)) from None
    _show(order, made, Console(highlight=False, width=WIDTH))


def _order(options: dict[str, Any]) -> "Order":
    from assay_workbench.candidate import Rule  # noqa: PLC0415
    from assay_workbench.dataset import Dataset  # noqa: PLC0415
    from assay_workbench.packaging.manifest import Identity, name_for  # noqa: PLC0415
    from assay_workbench.packaging.package import Order  # noqa: PLC0415
    from assay_workbench.packaging.signing import signer  # noqa: PLC0415
    from assay_workbench.packaging.trained import open_trained  # noqa: PLC0415

    path: Path = options["model"]
    name = options["name"] or name_for(path.resolve().stem)
    identity = Identity(name, options["namespace"], options["version"], options["uri_prefix"])
    identity.check()
    # What is cheap to find wrong comes first, and the code of a pickle last.
    dataset = Dataset.open(options["data"], options["label"], options["delimiter"])
    sign = None if options["sign_key"] is None else signer(options["sign_key"])
    trained = open_trained(path, options["trust"], run_code=options["run_code_in_file"])
    return Order(
        trained,
        dataset,
        options["output"],
        identity,
        Rule(options["positive"], options["threshold"]),
        options["calibrate"],
        options["onnx"],
        sign,
    )


def _show(order: "Order", made: "Package", console: Console) -> None:
    from assay.judge.wording import count  # noqa: PLC0415

    for remark in order.trained.remarks:
        console.print(remark)
    total = made.evaluation.total
    console.print(f"On {count(total)} rows of {order.dataset.path}:", style="bold")
    console.print(_figures(made))
    if order.calibrate is not None:
        console.print(
            "The scores are calibrated on these rows, so they look better here than they are; measure on "
            "others with assay evaluate."
        )
    for note in made.evaluation.model.notes:
        console.print(note)
    against = "the calibrated model" if order.calibrate else "the model as it was trained"
    console.print(
        f"Loaded as the server loads it, it says what {against} says: {count(made.fidelity.rows)} rows, "
        f"scores at most {made.fidelity.largest:.1g} apart."
    )
    for path in (made.artifact, made.signature, made.manifest):
        if path is not None:
            console.print(str(path), style="bold", soft_wrap=True)
    console.print(f"digest {made.digest}", soft_wrap=True)
    for number, step in enumerate(_steps(order, made), start=1):
        console.print(f"{number}. {step}", soft_wrap=True)


def _figures(made: "Package") -> Table:
    from assay_workbench.text import name_of, number, span  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    for figure in made.evaluation.model.figures:
        if figure.metric in SHOWN and _is_headline(figure):
            interval = figure.interval
            band = figure.why if interval is None else span(interval.lower, interval.upper)
            table.add_row(name_of(figure), number(figure.value), band)
    return table


def _is_headline(figure: "Figure") -> bool:
    from assay.judge.verdict import Average, MultiClass  # noqa: PLC0415

    if figure.multi_class is MultiClass.ONE_VS_ONE:
        return False
    return figure.average in {Average.BINARY, Average.MACRO} or (
        figure.average is None and figure.of is None
    )


def _steps(order: "Order", made: "Package") -> Iterator[str]:
    """Yield what is left to do."""
    from assay_workbench.packaging.manifest import GATEWAY, PLACEHOLDER  # noqa: PLC0415

    identity = order.identity
    if made.foreign:
        yield (
            f"The model needs {', '.join(made.foreign)}, which the image of the model server does not have: "
            "build one that does and name it in spec.serving.image."
        )
    if made.untrusted:
        types = ",".join(made.untrusted)
        yield (
            "skops does not trust these types unless told. Whoever runs the operator trusts them by the "
            f"chart's value:\n   --set 'operator.trustedTypes={{{types}}}'"
        )
    where = f"Upload {made.artifact.name}"
    if made.signature is not None:
        where += f" and {made.signature.name}"
    if identity.uri_prefix is None:
        yield f"{where}, and put its address in place of {PLACEHOLDER}/... in {made.manifest.name}."
    else:
        yield f"{where} to {identity.uri_prefix}."
    if made.signature is not None:
        yield (
            "Give every member the public key: openssl ec -in KEY -pubout -out team.pub; kubectl create "
            f"secret generic {identity.name}-signers -n {identity.namespace} --from-file=team.pub"
        )
    yield f"kubectl apply -f {made.manifest} (traffic comes through the Gateway {GATEWAY!r})."
