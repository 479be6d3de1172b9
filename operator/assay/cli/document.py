"""Reads a document field by field; what is wrong is said with the path of the field."""

import json
import math
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import pydantic
import yaml
from typing_extensions import override

Choice = TypeVar("Choice", bound=StrEnum)


class InputError(click.ClickException):
    """The input does not say what is needed; the message names the field. Exit code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        context = click.get_current_context(silent=True)
        self._command = f"assay {context.info_name}" if context else "assay"

    @override
    def show(self, file: Any = None) -> None:
        """Write one line to stderr."""
        click.echo(f"{self._command}: {self.format_message()}", file=file or sys.stderr)


def load(file: str) -> Any:
    """Read a file of JSON; ``-`` is stdin. Raises `InputError`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: {getattr(error, 'strerror', None) or error}"
        raise InputError(msg) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: is not JSON: {error}"
        raise InputError(msg) from None


def output_option(command: click.decorators.FC) -> click.decorators.FC:
    """Add the choice between text for people and a document for programs (`show_document`)."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["json", "yaml", "text"]),
        default="text",
        show_default=True,
        help="What to print.",
    )(command)


def show_document(document: Any, output: str, indent: int = 2) -> None:
    """Print what programs read: the same document in JSON or YAML. Raises ValueError for NaN."""
    text = json.dumps(document, indent=indent, allow_nan=False)
    if output == "yaml":
        # Through JSON: YAML would write tuples and enums with tags of Python's own.
        plain = json.loads(text)
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100).rstrip("\n")
    click.echo(text)


def load_either(file: str) -> Any:
    """Read a file of JSON or YAML; ``-`` is stdin. Raises `InputError`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return json.loads(text)
    except ValueError:
        pass  # YAML, then: its error tells more about either
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{file}: is neither JSON nor YAML: {problem}") from None


def load_objects(file: str) -> Iterator[dict[str, Any]]:
    """Yield every object in a file of JSON or YAML, those of lists one by one; ``-`` is stdin.

    Raises `InputError`.
    """
    try:
        with click.open_file(file, encoding="utf-8") as stream:
            documents = list(yaml.safe_load_all(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{file}: is neither JSON nor YAML: {problem}") from None
    for document in filter(None, documents):
        if not isinstance(document, dict):
            raise InputError(f"{file}: holds something that is no object")
        items = document.get("items") if document.get("kind") == "List" else None
        yield from items if isinstance(items, list) else [document]


def refuse(error: pydantic.ValidationError, path: str) -> NoReturn:
    """Raise an `InputError` for the first field below `path` that is not valid."""
    first = error.errors()[0]
    inner = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
    fail(f"{path}{inner}", first["msg"])


def as_object(
    value: Any,
    path: str,
    required: tuple[str, ...] = (),
    optional: tuple[str, ...] | None = (),
) -> Mapping[str, Any]:
    """Check an object's keys; any further key is allowed when `optional` is `None`.

    A key whose value is null counts as left out.
    """
    if not isinstance(value, dict):
        fail(path, f"must be an object, not {_kind(value)}")
    for name in required:
        if name not in value:
            fail(f"{path}.{name}" if path else name, "is missing")
    for name in value:
        if optional is not None and name not in required and name not in optional:
            known = ", ".join((*required, *optional))
            fail(f"{path}.{name}" if path else name, f"is not known here; known are {known}")
    return {
        name: each
        for name, each in value.items()
        if each is not None or name not in (optional or ())
    }


def as_list(value: Any, path: str, *, of: str = "") -> list[Any]:
    """Check that `value` is a list, and not an empty one when it is one `of` something."""
    if not isinstance(value, list):
        fail(path, f"must be a list, not {_kind(value)}")
    if of and not value:
        fail(path, f"is empty: at least one {of} is needed")
    return value


def as_text(value: Any, path: str) -> str:
    """Check that `value` is a text that says something."""
    if not isinstance(value, str) or not value:
        fail(path, f"must be a text, not {_kind(value)}")
    return value


def as_number(value: Any, path: str) -> float:
    """Read a number, or the text of one as the API writes it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        fail(path, f"must be a number, not {_kind(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        fail(path, f"{value!r} is not a number")
    return number


def as_choice(value: Any, path: str, choices: type[Choice]) -> Choice:
    """Read one of several words, in any case of letters."""
    spelled = {choice.value.lower(): choice for choice in choices}
    word = as_text(value, path)
    if word.lower() not in spelled:
        fail(path, f"{word!r} is not one of {', '.join(choices)}")
    return spelled[word.lower()]


def fail(path: str, problem: str) -> NoReturn:
    """Raise an `InputError`."""
    raise InputError(f"{path}: {problem}" if path else f"the input {problem}")


def _kind(value: Any) -> str:
    if value == "":
        return "an empty one"
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "null" if value is None else names.get(type(value), "a number")
