"""The process in which a target is fuzzed: ``python -m tests.fuzz.engine NAME [libFuzzer's options]``."""

import sys

import atheris  # type: ignore[import-untyped]

from tests.fuzz import targets


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["assay_server", "skops", "tests.fuzz.targets"]):
        target = targets.load(name)
    mutate = getattr(target, "mutate", None)
    more = {} if mutate is None else {"custom_mutator": mutate}
    atheris.Setup([sys.argv[0], *options], target, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
