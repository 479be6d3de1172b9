"""Write what is generated: crds/ and the chart's copy of it from the types, gRPC's messages, pages of docs.

``python tools/generate.py`` writes, ``python tools/generate.py --check`` says what is stale.
"""

import pathlib
import sys
import tempfile

import yaml
from grpc_tools import protoc

from assay.api import reference, schema
from assay_workbench import rules_page

ROOT = pathlib.Path(__file__).parent.parent
PROTO = pathlib.Path("assay_server/rpc/open_inference.proto")
HEADER = "# Generated from operator/assay/api by tools/generate.py (make generate). Do not edit.\n"


def documents() -> dict[pathlib.Path, str]:
    """Return the text of every generated file by its path."""
    texts: dict[pathlib.Path, str] = {}
    for name, definition in schema.definitions().items():
        text = HEADER + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)
        texts[ROOT / "crds" / name] = text
        texts[ROOT / "charts/assay/files/crds" / name] = text
    texts.update(messages())
    texts[ROOT / "docs/choosing-a-metric.md"] = rules_page.page()
    for name, text in reference.pages().items():
        texts[ROOT / "docs/reference" / name] = text
    return texts


def messages() -> dict[pathlib.Path, str]:
    """Return the protobuf messages of the Open Inference Protocol and their types."""
    source = ROOT / "model-server"
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["protoc", f"-I{source}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main([*arguments, str(PROTO)]):
            raise SystemExit(f"protoc failed on {PROTO}")
        made = {path: path.read_text() for path in pathlib.Path(folder).rglob("*_pb2.py*")}
        # A pool of their own: other people's clients register the same names in the common one, and
        # could not be used in the same process.
        return {
            source / path.relative_to(folder): text.replace(
                "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
            )
            for path, text in made.items()
        }


def main() -> int:
    """Write or check; return the exit code."""
    stale = {
        path: text
        for path, text in documents().items()
        if not path.exists() or path.read_text() != text
    }
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"stale: {path.relative_to(ROOT)} (run make generate)\n")
        return 1 if stale else 0
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
