"""The journal: whole records only, of one fit only."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path

import pytest

from automl_wf.core.checkpoint import Journal
from automl_wf.exceptions import InvalidParameter

FACTS = {"table": "a", "target": "b"}


def begun(folder: Path, seed: int = 3) -> Journal:
    journal = Journal(folder)
    journal.begin(FACTS, seed=seed)
    return journal


def test_records_are_found_again_by_name_and_may_be_replaced(tmp_path: Path) -> None:
    journal = begun(tmp_path / "new" / "folder")
    assert journal.records() == {}
    for name, value in (("a/b", 1), ("ü", [2.5]), ("a/b", 3)):
        journal.append(name, value)
    again = begun(journal.folder)
    assert again.records() == {"a/b": 3, "ü": [2.5]}
    assert again.seed == 3


def test_what_is_torn_or_unfinished_counts_as_not_written(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append("whole", 1)
    journal.append("torn", 2)
    torn = next(p for p in tmp_path.glob("*.record") if b"torn" in p.read_bytes())
    content = torn.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], b"", content[:-3] + b"xyz"):
        torn.write_bytes(damaged)
        assert journal.records() == {"whole": 1}
    (tmp_path / "left over.part").write_bytes(b"half")
    assert journal.records() == {"whole": 1}


def test_a_record_that_cannot_be_pickled_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((pickle.PicklingError, TypeError, AttributeError)):
        journal.append("lock", threading.Lock())
    assert sorted(tmp_path.iterdir()) == before


def test_another_fit_is_refused_and_told_what_differs(tmp_path: Path) -> None:
    begun(tmp_path)
    for facts, seed, named in (({**FACTS, "table": "c"}, 3, "another table"), (FACTS, 4, "another seed")):
        with pytest.raises(InvalidParameter, match=named):
            Journal(tmp_path).begin(facts, seed=seed)


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something else")
    with pytest.raises(InvalidParameter, match="folder that can be made"):
        Journal(file)
    for head in ("not JSON", "{}", '{"format": 0, "seed": 1, "facts": {}}'):
        (tmp_path / "journal.json").write_text(head)
        with pytest.raises(InvalidParameter, match="not of this version"):
            Journal(tmp_path)
    assert file.read_text() == "something else"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidParameter, match="cannot be written"):
        Journal(tmp_path)
