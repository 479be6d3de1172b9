"""Bills of material and licences."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools import sbom

LOCK = """\
annotated-types==0.8.0 \\
    --hash=sha256:00
    # via pydantic
pydantic==2.14.3 \\
    --hash=sha256:01 \\
    --hash=sha256:02
    # via assay (pyproject.toml)
tritonclient[grpc,http]==2.73.0 \\
    --hash=sha256:03
    # via
    #   -c requirements/dev.txt
    #   assay (pyproject.toml)
"""


def test_a_lock_is_read() -> None:
    assert sbom.packages(LOCK) == (
        sbom.Package("annotated-types", "0.8.0", ("pydantic",)),
        sbom.Package("pydantic", "2.14.3", ()),
        sbom.Package("tritonclient", "2.73.0", ()),
    )


@pytest.mark.parametrize("lock", sbom.LOCKS)
def test_a_bill_is_valid_and_whole(lock: str) -> None:
    text = (sbom.ROOT / f"sbom/{lock}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    pins = (sbom.ROOT / f"requirements/{lock}.txt").read_text().count("==")
    assert len(json.loads(text)["components"]) == pins


@pytest.mark.parametrize("lock", sbom.IMAGES)
def test_images_hand_on_permissive_licences_only(lock: str) -> None:
    for item in sbom.packages((sbom.ROOT / f"requirements/{lock}.txt").read_text()):
        parts = [sbom.licence(item.name), *(licence for _, licence in sbom.bundled(item.name))]
        for word in (word for part in parts for word in sbom.words(part)):
            assert word in sbom.ALLOWED or word in sbom.EXCEPTIONS, f"{item.name}: {word}"


def test_no_exception_is_left_over() -> None:
    used = {
        word
        for lock in sbom.IMAGES
        for item in sbom.packages((sbom.ROOT / f"requirements/{lock}.txt").read_text())
        for part in (sbom.licence(item.name), *(licence for _, licence in sbom.bundled(item.name)))
        for word in sbom.words(part)
    }
    assert set(sbom.EXCEPTIONS) <= used


def test_a_licence_that_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "_WORDS", {})
    monkeypatch.setattr(sbom, "ALLOWED", frozenset())
    with pytest.raises(sbom.LicenceError, match="obstore"):
        sbom.licence("obstore")


def test_the_same_lock_gives_the_same_bill() -> None:
    found = sbom.packages(LOCK)
    assert sbom.bill("operator", found, {}) == sbom.bill("operator", found, {})
    other = sbom.packages(LOCK.replace("2.14.3", "2.14.4"))
    serials = {sbom.bill("operator", each, {})["serialNumber"] for each in (found, other)}
    assert len(serials) == 2
