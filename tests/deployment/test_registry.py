"""Versions in plain folders: what may be promoted, what is refused, and the way back."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest

from automl_wf.core.frame import learn_schema
from automl_wf.deployment import Package
from automl_wf.deployment.comparison import compare_packages, worse_slices
from automl_wf.deployment.manifest import write_manifest
from automl_wf.deployment.registry import Registry, Trial, changed_input, identity
from automl_wf.exceptions import InvalidInput, InvalidParameter, PackageError

CLASSES, EFFECTS = np.array(["no", "yes"], dtype=object), {"North": 0.3, "South": -0.2}


@pytest.fixture
def champion(package: Package, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package.path, tmp_path / "champion"))


@pytest.fixture
def challenger(champion: Path, tmp_path: Path) -> Path:
    """Another package of the same columns: as good, since its graph is the same."""
    folder = Path(shutil.copytree(champion, tmp_path / "challenger"))
    change_json(folder / "model/metadata.json", created="2025-01-01T00:00:00+00:00")
    return folder


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")
    write_manifest(path.parents[1])


def decided(old: Path, new: Path, verdict: str = "promote") -> dict[str, Any]:
    gate = {"name": "score", "status": "pass" if verdict == "promote" else "fail"}
    sides = {side: {"sha256": identity(p), "score": 0.5} for side, p in (("old", old), ("new", new))}
    return {**sides, "metric": "ROC AUC", "verdict": verdict, "gates": [gate]}


def rows(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows whose answer follows the model's own probabilities."""
    rng = np.random.default_rng(seed)
    x, place = rng.normal(0, 20, n), rng.choice(["North", "South"], n)
    p = 1 / (1 + np.exp(-(x / 10 + np.array([EFFECTS[t] for t in place]))))
    return pd.DataFrame({"x": x, "place": place, "answer": CLASSES[(rng.random(n) < p).astype(int)]})


def test_promote_and_roll_back(champion: Path, challenger: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    assert registry.current is None
    assert registry.promote(champion).version == "v1"
    event = registry.promote(challenger, decided(registry.path(), challenger))
    assert (event.version, event.before, registry.current) == ("v2", "v1", "v2")
    assert registry.path().name == "v2"
    assert (registry.path() / "model/model.onnx").read_bytes() == (challenger / "model/model.onnx").read_bytes()
    back = registry.rollback("it was slow")
    assert (back.version, registry.current, back.reason) == ("v1", "v1", "it was slow")
    assert [e.action for e in Registry(registry.folder).history] == ["promote", "promote", "rollback"]
    with pytest.raises(PackageError, match="nothing to go back to"):
        registry.rollback()
    assert registry.promote(challenger, force="again").version == "v3"
    assert registry.history[-1].reason == "forced: again"
    assert registry.versions == ("v1", "v2", "v3")


def test_a_version_is_tried_beside_the_current_one(champion: Path, challenger: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    with pytest.raises(PackageError, match="promote one first"):
        registry.try_out(challenger)
    registry.promote(champion)
    event = registry.try_out(challenger)
    assert (event.action, event.version, event.before) == ("shadow", "v2", "v1")
    assert (registry.current, registry.trial) == ("v1", Trial("v2", "shadow", 0.0))
    with pytest.raises(PackageError, match="was not compared"):
        registry.try_out(registry.path("v2"), share=0.1)
    undecided = decided(registry.path("v1"), registry.path("v2"), "undecided")
    assert registry.try_out(registry.path("v2"), undecided, share=0.1).version == "v2"
    assert registry.versions == ("v1", "v2")
    assert json.loads((registry.folder / "routing.json").read_text()) == {
        "challenger": "v2",
        "mode": "split",
        "share": 0.1,
    }
    ended = registry.rollback("enough seen")
    assert (ended.action, ended.version, registry.current, registry.trial) == ("end", "v1", "v1", None)
    registry.try_out(registry.path("v2"), force="I know", share=0.5)
    assert registry.promote(registry.path("v2"), force="it won").version == "v2"
    assert (registry.current, registry.trial) == ("v2", None)
    assert [e.action for e in registry.history] == ["promote", "shadow", "split", "end", "split", "promote"]
    assert registry.rollback().version == "v1"


def test_what_may_not_be_tried(champion: Path, challenger: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.promote(champion)
    for share in (0.0, 1.0, -0.5, 2.0):
        with pytest.raises(InvalidParameter, match="share must be"):
            registry.try_out(challenger, share=share)
    with pytest.raises(PackageError, match="says 'keep'"):
        registry.try_out(challenger, decided(registry.path(), challenger, "keep"), share=0.1)
    with pytest.raises(PackageError, match="serves already"):
        registry.try_out(registry.path("v1"))
    change_json(challenger / "model/config.json", classes=["no", "maybe"])
    with pytest.raises(PackageError, match="classes differ"):
        registry.try_out(challenger)
    assert (registry.trial, registry.versions) == (None, ("v1",))


def test_what_may_not_be_promoted(champion: Path, challenger: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.promote(champion)
    before = sorted(p.relative_to(registry.folder) for p in registry.folder.rglob("*"))
    for decision, words in (
        (None, "was not compared"),
        (decided(champion, champion), "other packages"),
        (decided(registry.path(), challenger, "keep"), "says 'keep', because of: score"),
    ):
        with pytest.raises(PackageError, match=words):
            registry.promote(challenger, decision)
    change_json(challenger / "model/config.json", classes=["no", "maybe"])
    with pytest.raises(PackageError, match="classes differ"):
        registry.promote(challenger, force="I know better")
    (challenger / "model/model.onnx").write_bytes(b"")
    with pytest.raises(PackageError, match="other bytes"):
        registry.promote(challenger, force="I know better")
    assert sorted(p.relative_to(registry.folder) for p in registry.folder.rglob("*")) == before


def test_a_full_disk_is_one_line_and_changes_nothing(
    champion: Path, challenger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path / "registry")
    registry.promote(champion)

    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in registry.folder.rglob("*") if p.is_file()}

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[-1]))

    before = content()
    for name in ("copyfile", "copytree"):
        with monkeypatch.context() as patch:
            patch.setattr(shutil, name, full)
            with pytest.raises(PackageError) as failed:
                registry.promote(challenger, force="now")
        said = str(failed.value)
        assert said.startswith(f"{challenger} cannot be copied into {registry.folder}: ")
        assert "No space left on device" in said
        assert len(said) < 400 + len(str(tmp_path))
        assert content() == before
    for name in ("_record", "_prepare"):
        with monkeypatch.context() as patch:
            patch.setattr(Registry, name, full)
            with pytest.raises(OSError, match="No space left"):
                registry.promote(challenger, force="now")
        kept = {path: data for path, data in content().items() if path in before}
        assert (kept, registry.current, len(registry.history)) == (before, "v1", 1)
    assert not list(registry.folder.glob(".current-*"))


def test_a_damaged_version_is_not_gone_back_to(champion: Path, challenger: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.promote(champion)
    registry.promote(challenger, force="test")
    (registry.path("v1") / "model/model.onnx").write_bytes(b"")
    with pytest.raises(PackageError, match="v1 is damaged"):
        registry.rollback()
    assert registry.current == "v2"
    with pytest.raises(PackageError, match="there are: v1, v2"):
        registry.path("v7")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(PackageError, match="is no registry"):
        Registry(tmp_path)


def test_changes_that_a_client_would_notice(champion: Path, challenger: Path) -> None:
    assert changed_input(champion, challenger) == []
    config = json.loads((challenger / "model/config.json").read_text())
    columns = [{**c, "kind": "text"} if c["name"] == "place" else {**c, "name": "z"} for c in config["columns"]]
    change_json(challenger / "model/config.json", columns=columns, task="multiclass")
    assert changed_input(champion, challenger) == [
        "the task was binary and is multiclass",
        "column 'x' is gone",
        "column 'z' is new",
        "kind of column 'place' was 'categorical' and is 'text'",
    ]


def test_equal_models_are_undecided(champion: Path, challenger: Path) -> None:
    found = compare_packages(champion, challenger, rows())
    assert found.gain == 0.0
    assert found.interval == (0.0, 0.0)
    assert found.slices == ()
    assert {g.name: g.status for g in found.gates if g.name == "no_worse_slice"} == {"no_worse_slice": "pass"}
    assert found.verdict != "promote"
    assert json.loads(json.dumps(found.to_dict()))["format"] == 1


def rows_gate(old: Path, new: Path, data: pd.DataFrame) -> Any:
    return next(g for g in compare_packages(old, new, data).gates if g.name == "rows_are_new")


def test_training_rows_among_the_given_are_noticed(champion: Path, challenger: Path, subject: Any) -> None:
    trained_on = subject.reference.assign(answer=subject.reference_y)
    new = rows_gate(champion, challenger, rows())
    assert (new.status, new.reason) == (
        "pass", f"{champion} was fitted on 0 % of them; {challenger} was fitted on 0 % of them"
    )  # fmt: skip
    part = rows_gate(champion, challenger, trained_on.head(25))
    assert part.status == "undecided"
    assert f"{champion} was fitted on 100 % of them: give rows that are new" in part.reason
    some = rows_gate(champion, challenger, pd.concat([trained_on.head(20), rows(380)]))
    assert some.status == "undecided"
    assert f"{champion} was fitted on 5 % of them" in some.reason
    assert rows_gate(champion, challenger, pd.concat([trained_on.head(2), rows(398)])).status == "pass"
    whole = rows_gate(champion, challenger, trained_on.iloc[::-1])
    assert whole.reason.startswith(f"they are the rows that {champion} was fitted on")


def test_rows_that_equal_one_another_by_themselves_are_let_pass(champion: Path, challenger: Path, subject: Any) -> None:
    """Where half of the training rows are not unique, half of new ones are expected to be among them."""
    path = champion / "model/evidence.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    some = subject.reference.assign(answer=subject.reference_y).head(20)
    assert rows_gate(champion, challenger, pd.concat([some, rows(30)])).status == "undecided"
    counts = np.where(np.arange(40) < 20, 2, 1)
    for folder in (champion, challenger):
        np.savez_compressed(folder / "model/evidence.npz", **{**arrays, "row_count": counts.astype(np.uint32)})
        write_manifest(folder)
    gate = rows_gate(champion, challenger, pd.concat([some, rows(30)]))
    assert gate.status == "pass"
    assert "40 % of them; 66.7 % are expected by chance, as so many of its own rows equal another" in gate.reason


def test_a_package_without_hashes_cannot_tell_whether_rows_are_new(champion: Path, challenger: Path) -> None:
    path = champion / "model/evidence.npz"
    with np.load(path) as archive:
        arrays = {name: values for name, values in archive.items() if not name.startswith("row_")}
    np.savez_compressed(path, **arrays)
    write_manifest(champion)
    gate = rows_gate(champion, challenger, rows())
    assert gate.status == "undecided"
    assert gate.reason.startswith(f"whether {champion} was fitted on some of them cannot be told: it keeps no hashes")


def test_the_score_gate_tells_better_from_worse(champion: Path) -> None:
    """The same graph with the effect of x turned round is as wrong as the other is right."""
    shifted = champion.parent / "shifted"
    shutil.copytree(champion, shifted)
    model = onnx.load(shifted / "model/model.onnx")
    for constant in model.graph.initializer:
        if constant.data_type == onnx.TensorProto.DOUBLE and onnx.numpy_helper.to_array(constant).ravel()[0] == 10.0:
            constant.CopyFrom(onnx.numpy_helper.from_array(np.array([[-10.0]]), constant.name))
    onnx.save(model, shifted / "model/model.onnx")
    write_manifest(shifted)
    worse = compare_packages(champion, shifted, rows())
    assert worse.verdict == "keep"
    assert worse.gain < -0.5
    assert {g.name for g in worse.gates if g.status == "fail"} >= {"score", "package_verified", "no_worse_slice"}
    better = compare_packages(shifted, champion, rows())
    assert better.gain == pytest.approx(-worse.gain)
    assert next(g for g in better.gates if g.name == "score").status == "pass"


def test_rows_that_cannot_be_compared_on_are_named(champion: Path) -> None:
    with pytest.raises(InvalidInput, match="lack the target 'answer'"):
        compare_packages(champion, champion, rows().drop(columns="answer"))
    with pytest.raises(InvalidInput, match="'perhaps'"):
        compare_packages(champion, champion, rows().assign(answer="perhaps"))
    with pytest.raises(InvalidInput, match="missing in 400 rows"):
        compare_packages(champion, champion, rows().assign(answer=None))


def test_a_slice_that_got_worse_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"n": rng.normal(size=4000), "c": rng.choice(list("abcdef"), 4000)})
    table = learn_schema(X)[1]
    change = rng.normal(size=4000)
    assert worse_slices(table, change) == ()
    change += np.where(X["c"] == "e", 0.5, -0.1)
    [found] = worse_slices(table, change)
    assert (found.column, found.where, found.n_rows) == ("c", "c = e", int((X["c"] == "e").sum()))
    assert found.loss_change == pytest.approx(0.5, abs=0.15)
    assert found.p_value < 1e-6
