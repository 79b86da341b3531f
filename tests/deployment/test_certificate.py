"""validation.json says what was checked, on which rows, and `verify` makes it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_wf.deployment import Package, verify
from automl_wf.deployment.card import against_baseline
from automl_wf.deployment.certificate import NAME, certify, digest
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.verify import _check_made_again


@pytest.fixture
def copy(package: Package, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package.path, tmp_path / "copy"))


def read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return content


def test_it_names_rows_results_and_versions(package: Package) -> None:
    content = read(package.path)
    assert content["rows"]["n_held_out"] == 40
    assert content["rows"]["n_folds"] == 4
    assert content["rows"]["sha256"]["y"] == digest((np.arange(40) >= 20).astype(np.int64))
    assert content["rows"]["training_table_sha256"] is not None
    assert "python" in content["versions"]
    checks = {c["name"]: c for c in content["checks"]}
    assert checks["score on held-out rows"]["result"] == "better than the baseline"
    assert checks["score on held-out rows"]["facts"]["value"] == 0.75
    assert checks["graph equals predict"]["result"] == "equal"
    # All wrong rows are in one fold, which the residuals of the others do not foresee
    assert checks["coverage at 80%"]["facts"]["covered"] == 0.75
    assert checks["checks of data and run"]["result"] == "1 findings, 0 of them serious"
    assert {c["repeatable"] for c in content["checks"]} == {"exact", "once"}
    assert all(set(c) == {"name", "result", "facts", "repeatable"} for c in content["checks"])


def test_it_is_made_again(package: Package) -> None:
    assert certify(Evidence(package.path)) == read(package.path)
    (check,) = [c for c in verify(package.path).checks if c.check == "certificate"]
    assert (check.subject, check.kind, check.status) == (NAME, "exact", "ok")


def test_a_changed_result_is_found(copy: Path) -> None:
    content = read(copy)
    content["checks"][0]["facts"]["value"] = 0.99
    (copy / NAME).write_text(json.dumps(content))
    check = _check_made_again(Evidence(copy), NAME)
    assert check.status == "wrong"
    assert "0.99 is stated, 0.75 was found" in check.reason


def test_other_rows_are_found(copy: Path) -> None:
    with np.load(copy / "model/evidence.npz") as archive:
        arrays = dict(archive)
    arrays["fold"] = arrays["fold"][::-1]
    np.savez_compressed(copy / "model/evidence.npz", **arrays)
    check = _check_made_again(Evidence(copy), NAME)
    assert check.status == "wrong"
    assert "rows.sha256.fold" in check.reason


def test_rubbish_is_a_finding(copy: Path) -> None:
    (copy / NAME).write_text("rubbish")
    check = _check_made_again(Evidence(copy), NAME)
    assert (check.status, "cannot be made again" in check.reason) == ("wrong", True)


def test_digests_are_of_cells() -> None:
    assert digest(np.array([1, 2], dtype=np.int32)) == digest(np.array([1, 2], dtype=np.int64))
    assert digest(np.array([0.0, np.nan])) == digest(np.array([-0.0, np.nan]))
    assert digest(np.zeros((2, 1))) != digest(np.zeros(2))
    assert digest(np.array(["a", "bc"])) != digest(np.array(["ab", "c"]))


@pytest.mark.parametrize(
    ("low", "high", "baseline", "greater", "words"),
    [
        (0.6, 0.8, 0.5, True, "better than the baseline"),
        (0.4, 0.8, 0.5, True, "undecided at this number of rows"),
        (0.1, 0.2, 0.5, True, "not better than the baseline"),
        (0.1, 0.2, 0.5, False, "better than the baseline"),
        (0.6, 0.7, 0.5, False, "not better than the baseline"),
        (None, None, 0.5, True, "not compared with the baseline"),
    ],
)
def test_results_in_words(low: Any, high: Any, baseline: float, greater: bool, words: str) -> None:
    row = {"low": low, "high": high, "baseline": baseline, "greater_is_better": greater}
    assert against_baseline(row) == words
