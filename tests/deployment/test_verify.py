"""Whatever is changed in a package is found, with the reason, and all of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.deployment import Package, Report, Subject, verify
from automl_wf.deployment.card import build_card, render_card
from automl_wf.deployment.evidence import Evidence
from automl_wf.deployment.manifest import write_manifest
from automl_wf.deployment.verify import differences
from automl_wf.exceptions import PackageError


@pytest.fixture
def copy(package: Package, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package.path, tmp_path / "copy"))


def reasons(report: Report) -> dict[str, str]:
    found: dict[str, str] = {}
    for check in report.wrong:
        found[check.subject] = "; ".join(filter(None, [found.get(check.subject, ""), check.reason]))
    return found


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


def test_a_fresh_package_is_right(package: Package, subject: Subject) -> None:
    report = verify(package.path)
    assert report.ok, str(report)
    unchecked = {c.subject for c in report.checks if c.status == "not checked" and c.kind == "data"}
    assert unchecked == {
        "factors.columns",
        "training_data.n_rows",
        "training_data.fingerprint",
        "training_data.fingerprint_any_order",
        "training_data.fingerprint_row_hashes",
        "training_data.fingerprint_target",
        "caveats_and_recommendations.ranges",
    }
    with_data = verify(package.path, subject.reference.assign(answer=subject.reference_y))
    assert with_data.ok, str(with_data)
    assert not [c for c in with_data.checks if c.kind == "data" and c.status != "ok"]


def test_the_data_may_come_as_a_file(package: Package, subject: Subject, tmp_path: Path) -> None:
    subject.reference.to_csv(tmp_path / "data.csv", index=False)
    assert verify(package.path, tmp_path / "data.csv").ok


@pytest.mark.parametrize("name", ["row_hash", "row_count"])
def test_hashes_of_rows_that_were_exchanged_are_noticed(copy: Path, name: str) -> None:
    with np.load(copy / "model/evidence.npz") as archive:
        arrays = dict(archive)
    arrays[name] = arrays[name] + np.uint32(1)
    np.savez_compressed(copy / "model/evidence.npz", **arrays)
    write_manifest(copy)
    assert "training_data.row_hashes" in reasons(verify(copy))


def test_other_data_are_noticed(package: Package, subject: Subject) -> None:
    other = subject.reference.assign(x=subject.reference["x"] + 1)
    assert set(reasons(verify(package.path, other))) == {
        "training_data.fingerprint",
        "training_data.fingerprint_any_order",
        "training_data.fingerprint_row_hashes",
        "caveats_and_recommendations.ranges",
    }
    with pytest.raises(PackageError, match=r"not the table that the model was fitted on: 30 rows, \d+ expected"):
        verify(package.path, subject.reference.head(30))
    with pytest.raises(PackageError, match="place"):
        verify(package.path, subject.reference[["x"]])


def test_rows_in_another_order_are_told_from_other_rows(package: Package, subject: Subject) -> None:
    data = subject.reference.assign(answer=subject.reference_y)
    assert set(reasons(verify(package.path, data.iloc[::-1]))) == {
        "training_data.fingerprint",
        "training_data.fingerprint_target",
    }
    other = data.assign(answer=np.roll(subject.reference_y, 1))
    assert set(reasons(verify(package.path, other))) == {"training_data.fingerprint_target"}


def test_rows_without_a_target_are_left_out(package: Package, subject: Subject) -> None:
    data = subject.reference.assign(answer=pd.Series(subject.reference_y, dtype=object))
    more = pd.concat([data, data.head(3).assign(answer=None)], ignore_index=True)
    assert reasons(verify(package.path, more)) == reasons(verify(package.path, data))


def test_a_wrong_byte_in_the_graph(copy: Path) -> None:
    content = bytearray((copy / "model/model.onnx").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (copy / "model/model.onnx").write_bytes(content)
    assert "has other bytes" in reasons(verify(copy))["model/model.onnx"]


def test_another_graph_is_found_by_what_it_says(copy: Path) -> None:
    import onnx

    model = onnx.load(copy / "model/model.onnx")
    for constant in model.graph.initializer:
        if onnx.numpy_helper.to_array(constant).tolist() == [[10.0]]:
            constant.CopyFrom(onnx.numpy_helper.from_array(np.array([[9.0]]), constant.name))
    onnx.save(model, copy / "model/model.onnx")
    write_manifest(copy)
    found = reasons(verify(copy))
    assert any("probabilities" in reason for name, reason in found.items() if name.startswith("model/model.onnx"))
    assert "model/model.onnx" not in found


def test_missing_and_additional_files_are_all_told(copy: Path) -> None:
    (copy / "requirements.txt").unlink()
    (copy / "notes.txt").write_text("mine")
    (copy / "docs/link").symlink_to(copy)
    found = reasons(verify(copy))
    assert found["requirements.txt"] == "is missing"
    assert found["notes.txt"] == "is not in the manifest"
    assert "link" in found["docs/link"]


def set_score(card: Any) -> None:
    row = next(r for r in card["sections"]["quantitative_analyses"]["scores"]["value"] if r["name"] == "roc_auc")
    row["value"] = 0.99


@pytest.mark.parametrize("is_forged", [False, True])
def test_a_changed_figure_in_the_card(copy: Path, is_forged: bool) -> None:
    change_json(copy / "docs/card.json", set_score)
    if is_forged:
        (copy / "docs/model_card.md").write_text(render_card(json.loads((copy / "docs/card.json").read_text())))
        write_manifest(copy)
    found = reasons(verify(copy))
    assert "scores[roc_auc].value" in found["quantitative_analyses.scores"].replace("value[", "scores[")
    assert "0.99 is stated, 0.75 was found" in found["quantitative_analyses.scores"]
    assert ("docs/card.json" in found) is not is_forged


def test_a_figure_changed_everywhere_is_computed_again(copy: Path) -> None:
    # Card, page, recorded facts and manifest agree with each other, but not with the evidence
    def forge(facts: Any) -> None:
        next(row for row in facts["evaluation"]["scores"] if row["name"] == "accuracy")["value"] = 0.97
        facts["measured"]["n_scored"] = 41

    change_json(copy / "model/metadata.json", forge)
    card = build_card(json.loads((copy / "model/metadata.json").read_text()))
    (copy / "docs/card.json").write_text(json.dumps(card))
    (copy / "docs/model_card.md").write_text(render_card(card))
    write_manifest(copy)
    found = reasons(verify(copy))
    assert set(found) == {"quantitative_analyses.scores", "evaluation_data.n_scored", "docs/model.cdx.json"}
    assert "0.97 is stated, 0.75 was found (computed again)" in found["quantitative_analyses.scores"]


@pytest.mark.parametrize(("difference", "is_wrong"), [(1e-10, False), (1e-4, True)])
def test_weights_may_differ_by_what_a_minimiser_makes_of_rounding(
    copy: Path, monkeypatch: pytest.MonkeyPatch, difference: float, is_wrong: bool
) -> None:
    found = Evidence(copy).weights * (1.0 - difference)
    monkeypatch.setattr(Evidence, "weights", found)
    wrong = reasons(verify(copy))
    assert ("model_details.weights" in wrong) is is_wrong, wrong


def test_a_figure_measured_once_is_compared_with_the_record(copy: Path) -> None:
    change_json(
        copy / "docs/card.json", lambda c: c["sections"]["how_it_was_made"]["search"]["value"].update(n_trials=99)
    )
    write_manifest(copy)
    assert "99 is stated, 2 was found" in reasons(verify(copy))["how_it_was_made.search"]


def test_a_class_or_source_cannot_be_talked_down(copy: Path) -> None:
    def forge(card: Any) -> None:
        field = card["sections"]["quantitative_analyses"]["scores"]
        field.update(check="once", evidence={})

    change_json(copy / "docs/card.json", forge)
    write_manifest(copy)
    assert "check" in reasons(verify(copy))["quantitative_analyses.scores"]


def test_a_changed_page_is_found(copy: Path) -> None:
    page = copy / "docs/model_card.md"
    page.write_text(re.sub(r"\| accuracy \| 0\.75", "| accuracy | 0.95", page.read_text()))
    write_manifest(copy)
    found = reasons(verify(copy))
    assert list(found) == ["docs/model_card.md"]
    assert "0.95" in found["docs/model_card.md"]


def test_changed_evidence_is_found(copy: Path) -> None:
    with np.load(copy / "model/evidence.npz") as archive:
        arrays = dict(archive)
    arrays["y"] = 1 - arrays["y"]
    np.savez_compressed(copy / "model/evidence.npz", **arrays)
    write_manifest(copy)
    assert "quantitative_analyses.scores" in reasons(verify(copy))


def test_a_timing_is_measured_again(copy: Path) -> None:
    def forge(facts: Any) -> None:
        facts["measured"]["latency"]["one_row_p50_s"] = 12.5

    change_json(copy / "model/metadata.json", forge)
    found = reasons(verify(copy))
    assert "12.5 is stated" in found["package.latency.one_row_p50_s"]


@pytest.mark.parametrize("name", ["docs/card.json", "model/metadata.json", "model/config.json", "model/evidence.npz"])
def test_rubbish_is_a_finding_and_not_a_crash(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"rubbish")
    report = verify(copy)
    assert name in reasons(report)
    assert len(report.wrong) >= 2
    (copy / name).unlink()
    assert not verify(copy).ok


def test_report_says_what_is_wrong_and_counts(copy: Path) -> None:
    (copy / "Makefile").unlink()
    report = verify(copy)
    assert "1 wrong" in str(report)
    assert "wrong       Makefile (file): is missing" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False


def test_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not a folder"):
        verify(tmp_path / "nowhere")


def test_differences_by_hand() -> None:
    assert differences({"a": [1.0, 0.1 + 0.2]}, {"a": [1, 0.3]}, "") == []
    assert differences({"a": True}, {"a": 1}, "") == ["a: true is stated, 1 was found"]
    assert differences([{"name": "x", "v": 1}], [{"name": "x", "v": 2}], "t") == ["t[x].v: 1 is stated, 2 was found"]
    assert differences(None, float("1e-30"), "z") != []


def test_fingerprint_is_of_cells_not_of_containers(subject: Subject) -> None:
    from automl_wf.core.frame import learn_schema
    from automl_wf.deployment import fingerprint

    frame = subject.reference
    again = frame.astype({"x": object, "place": "category"})
    first, second = (fingerprint(learn_schema(f)[1].cells) for f in (frame, again))
    assert first == second
    assert first != fingerprint(learn_schema(frame.iloc[::-1])[1].cells)
    assert first != fingerprint(learn_schema(pd.DataFrame({"x": frame["x"], "place": "north"}))[1].cells)
