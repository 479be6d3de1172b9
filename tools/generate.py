"""Write what is generated: crds/ and the chart's copy of it from the types, gRPC's messages, pages of docs, Argo CD's settings.

``python tools/generate.py`` writes, ``python tools/generate.py --check`` says what is stale.
"""

import pathlib
import sys
import tempfile

import chart_values
import yaml
from grpc_tools import protoc

from assay.api import GROUP, reference, schema
from assay_workbench import rules_page

ROOT = pathlib.Path(__file__).parent.parent
PROTO = pathlib.Path("assay_server/rpc/open_inference.proto")
ARGOCD = ROOT / "gitops/argocd"
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
    texts[ARGOCD / "argocd-cm.yaml"] = argocd_config_map()
    chart = ROOT / "charts/assay"
    page = chart / "README.md"
    texts[page] = chart_values.readme(page.read_text(), (chart / "values.yaml").read_text())
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


def argocd_config_map() -> str:
    """Return Argo CD's scripts in the form in which its ConfigMap takes them."""
    scripts = ARGOCD / "resource_customizations" / GROUP
    data = {
        f"resource.customizations.health.{GROUP}_{path.parent.name}": path.read_text()
        for path in sorted(scripts.glob("*/health.lua"))
    }
    for path in sorted(scripts.glob("*/actions/discovery.lua")):
        definitions = [
            {"name": action.parent.name, "action.lua": action.read_text()}
            for action in sorted(path.parent.glob("*/action.lua"))
        ]
        actions = {"discovery.lua": path.read_text(), "definitions": definitions}
        data[f"resource.customizations.actions.{GROUP}_{path.parents[1].name}"] = _dump(actions)
    metadata = {
        "name": "argocd-cm",
        "namespace": "argocd",
        "labels": {"app.kubernetes.io/part-of": "argocd"},
    }
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    header = HEADER.replace("operator/assay/api", "resource_customizations/ beside this file")
    return header + _dump(document)


class _Literal(yaml.SafeDumper):
    """Writes text of several lines as it is."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Represent a string."""
        style = "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Literal.add_representer(str, _Literal.represent_text)


def _dump(document: object) -> str:
    return yaml.dump(document, Dumper=_Literal, sort_keys=False, width=1000)


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
