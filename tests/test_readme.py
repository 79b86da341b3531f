"""The README is true: its code runs, its tables name what there is, its links lead somewhere."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP_LEVEL = {
    "pyproject.toml",
    "automl_wf/",
    "templates/",
    "tests/",
    "examples/",
    "benchmarks/",
    "README.md",
    "Makefile",
    "LICENSE",
    ".ci/run",
    ".gitignore",
}


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    examples = "\n".join(blocks)
    assert examples.count(">>> ") >= 8
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(examples, {}, "README.md", str(ROOT / "README.md"), 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append)
    assert result.failed == 0, "".join(report)


def test_every_top_level_entry_has_a_line() -> None:
    for entry in TOP_LEVEL:
        assert f"| `{entry}` |" in README, entry
        assert (ROOT / entry).exists(), entry


def test_every_stage_has_a_row_and_a_folder() -> None:
    for number, folder in enumerate(
        [
            "problem_definition",
            "data_preparation",
            "feature_engineering",
            "model_selection",
            "bayesian_hpo",
            "evaluation",
            "interpretation",
            "deployment",
        ],
        start=1,
    ):
        assert re.search(rf"^\| {number} \| `{folder}` \|", README, re.MULTILINE), folder
        assert (ROOT / "automl_wf" / folder / "__init__.py").is_file()


def test_paths_in_its_tables_exist() -> None:
    section = README.split("## Where a new thing goes")[1].split("\n## ")[0]
    for path in re.findall(r"`((?:automl_wf|templates|tests)/[^`<>*…]*)`", section):
        assert (ROOT / path).exists(), path


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets


def test_extras_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"automl-wf\[([a-z,]+)\]", README))
    assert named
    assert {e for names in named for e in names.split(",")} <= set(project["optional-dependencies"])


def test_layers_are_those_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = contracts["contracts"][0]["layers"]
    assert " → ".join(layers) in re.sub(r"\s+", " ", README)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
