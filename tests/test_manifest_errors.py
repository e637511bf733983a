"""What a person sees for each mistake: tests/manifest_errors/*.txt hold the files of a project and the whole answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.errors import ManifestError
from tests.resolving import desired, shown

CASES = sorted((Path(__file__).parent / "manifest_errors").glob("*.txt"))


def sections(text: str) -> dict[str, str]:
    """Split ``=== name ===`` sections."""
    parts = re.split(r"(?m)^=== (.+) ===\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def answer(files: dict[str, str]) -> str:
    with pytest.raises(ManifestError) as caught:
        desired(files)
    return "\n\n".join(shown(problem) for problem in caught.value.diagnostics) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_answer_to_a_mistake(case: Path) -> None:
    files = sections(case.read_text(encoding="utf-8"))
    expected = files.pop("errors")
    assert answer(files) == expected


def test_every_mistake_has_an_answer_of_its_own() -> None:
    first_lines = [sections(case.read_text(encoding="utf-8"))["errors"].partition("\n")[0] for case in CASES]
    assert len(set(first_lines)) == len(first_lines)
