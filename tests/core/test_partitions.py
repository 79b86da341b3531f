"""A Dask DataFrame: what is drawn of it, and what is made of its partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier, WorkflowRegressor
from automl_wf.core.budget import Budget
from automl_wf.core.frame import learn_schema, read_table
from automl_wf.core.partitions import Part, PartitionedTable, _dealt, is_partitioned
from automl_wf.exceptions import InvalidInput, InvalidTarget
from automl_wf.model_selection.base import TargetCode
from automl_wf.model_selection.boosting_dask import PartReader

pytestmark = pytest.mark.filterwarnings("default")
dd: Any = pytest.importorskip("dask.dataframe", reason="Dask is not installed: pip install 'automl-wf[dask]'")
distributed: Any = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'automl-wf[dask]'")

N_ROWS = 6_000
#: Bytes that about 700 rows of the table and a fit on them take.
FEW = 700 * (16 * 8 * 4 + 60)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
        yield client


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=list("abc"))
    frame["colour"] = rng.choice(["red", "green", "blue"], N_ROWS)
    frame.loc[::9, "b"] = np.nan
    frame["value"] = 3.0 * frame["a"] + (frame["colour"] == "red") + 0.3 * rng.normal(size=N_ROWS)
    frame["label"] = np.where(frame["value"] > 0, "yes", "no")
    frame.loc[rng.choice(N_ROWS, 30, replace=False), "label"] = "rarely"
    frame["shop"] = rng.integers(0, 300, N_ROWS)
    return frame


@pytest.fixture(scope="module")
def frame(table: pd.DataFrame) -> Any:
    return dd.from_pandas(table, npartitions=4)


def of(frame: Any, target: str) -> tuple[Any, Any]:
    return frame[["a", "b", "c", "colour"]], frame[target]


def test_only_a_dask_frame_is_partitioned(frame: Any, table: pd.DataFrame) -> None:
    assert is_partitioned(frame)
    assert not any(map(is_partitioned, (table, table.to_numpy(), frame["a"].to_dask_array, None)))


def test_rows_are_drawn_by_class(client: Any, frame: Any, table: pd.DataFrame) -> None:
    partitioned = PartitionedTable(*of(frame, "label"))
    drawn = partitioned.draw(FEW, 1, is_clocked=False)
    assert partitioned.n_rows == N_ROWS
    assert not drawn.is_everything
    assert drawn.X.columns.tolist() == ["a", "b", "c", "colour"]
    counts, share = drawn.y.value_counts(), len(drawn.X) / N_ROWS
    assert 0.08 < share < 0.2
    assert counts["rarely"] == 20
    for label in ("yes", "no"):
        assert counts[label] == pytest.approx(share * (table["label"] == label).sum(), rel=0.05)
    # Each row is one of the table, and none is there twice.
    places = drawn.X.merge(table.reset_index(), on=["a", "c"])["index"]
    assert len(places) == len(set(places)) == len(drawn.X)
    assert (table["label"][places].to_numpy() == drawn.y.to_numpy()).all()
    again = PartitionedTable(*of(frame, "label")).draw(FEW, 1, is_clocked=False)
    pd.testing.assert_frame_equal(drawn.X, again.X)
    other = PartitionedTable(*of(frame, "label")).draw(FEW, 2, is_clocked=False)
    assert not drawn.X["a"].equals(other.X["a"])
    (finding,) = drawn.findings
    assert finding.code == "searched_on_sample"
    assert f"{len(drawn.X):,} of 6,000 rows, drawn from 4 partitions" in finding.message


def test_groups_are_drawn_whole(client: Any, frame: Any, table: pd.DataFrame) -> None:
    drawn = PartitionedTable(*of(frame, "value"), groups=frame["shop"]).draw(FEW, 0, is_clocked=False)
    assert drawn.group is not None
    sizes = table["shop"].value_counts()
    kept = drawn.group.value_counts()
    assert 0.05 < len(kept) / len(sizes) < 0.2
    assert (sizes[kept.index] == kept).all()


def test_a_table_that_fits_is_read_whole(client: Any, frame: Any, table: pd.DataFrame) -> None:
    drawn = PartitionedTable(*of(frame, "value"), sample_weight=frame["shop"]).draw(1e9, 0, is_clocked=False)
    assert drawn.is_everything
    assert drawn.findings[0].code == "read_whole"
    assert drawn.weight is not None
    np.testing.assert_array_equal(drawn.y, table["value"])
    np.testing.assert_array_equal(drawn.weight, table["shop"])


def test_no_more_partitions_than_the_workers_hold(client: Any, frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    partitioned = PartitionedTable(*of(frame, "value"))
    partitioned.n_rows = N_ROWS
    assert partitioned.share_in_memory(4) == 1.0
    limits = {"workers": {"a": {"memory_limit": 1e9}, "b": {"memory_limit": 1e9}}}
    monkeypatch.setattr(partitioned.client, "scheduler_info", lambda n_workers: limits)
    # 2e9 · 0.8 - 2 · 3e8 = 1e9 bytes for 2.2 copies of n_features · 8 · 6,000 of them.
    assert partitioned.share_in_memory(20_000) == pytest.approx(1e9 / (2.2 * 8 * 20_000 * N_ROWS))
    sizes = partitioned.gather(partitioned.map(lambda part: (part.number, len(part.X)), 0.5))
    assert sizes == [(0, 1_500), (3, 1_500)]


def test_a_billion_rows_can_be_dealt() -> None:
    counts = np.full(4, 10**9)
    dealt = _dealt(counts, 1_000, np.random.default_rng(0))
    assert dealt.sum() == 1_000
    assert dealt.min() > 180


def test_what_does_not_match_is_said(client: Any, frame: Any, table: pd.DataFrame) -> None:
    X, y = of(frame, "label")
    with pytest.raises(InvalidInput, match=r"y must be partitioned as X is.*Got Series"):
        PartitionedTable(X, table["label"])
    with pytest.raises(InvalidInput, match="X has 4 partitions, y has 2"):
        PartitionedTable(X, y.repartition(npartitions=2))
    with pytest.raises(InvalidInput, match=r"Partition 0 of X has 1500 rows, but .* \(7,\)"):
        PartitionedTable(X, y.map_partitions(lambda part: part.head(7))).draw(FEW, 0, is_clocked=False)
    with pytest.raises(InvalidInput, match="only fit takes"):
        read_table(X, learn_schema(table[["a", "b", "c", "colour"]])[0], owner="nobody")


def test_without_a_cluster_it_is_said_how_to_start_one(frame: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise ValueError("no client")

    monkeypatch.setattr(distributed, "get_client", nobody)
    with pytest.raises(InvalidInput, match=r"client = Client\(\)"):
        PartitionedTable(*of(frame, "label"))


SETTINGS: dict[str, Any] = {
    "time_budget": None,
    "n_iter": 2,
    "estimators": ["lightgbm"],
    "memory_limit": FEW,
    "random_state": 0,
    "verbose": 0,
}


def test_classes_of_all_partitions(client: Any, frame: Any, table: pd.DataFrame) -> None:
    X, y = of(frame, "label")
    model = WorkflowClassifier(**SETTINGS).fit(X, y)
    assert model.classes_.tolist() == ["no", "rarely", "yes"]
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "colour"]
    assert any(f.code == "searched_on_sample" for f in model.findings_)
    (said,) = [d.decision for d in model.decisions_ if d.decision.startswith("final models")]
    assert "learnt from all 6,000 rows" in said
    (told,) = [f for f in model.findings_ if f.code == "final_models_of_partitions"]
    assert told.severity == "info"
    ((view, learner),) = model.best_estimator_.blend.members[0].parts
    assert "tree" in view.name or view.n_features >= 4
    booster, _ = next(learner.boosters())
    tree = booster.dump_model()["tree_info"][0]["tree_structure"]
    assert tree["internal_count"] > 0.8 * N_ROWS  # some rows are left out of each tree, as the configuration says
    inputs = table[["a", "b", "c", "colour"]]
    assert model.score(inputs, table["label"]) > 0.85
    model.best_estimator_.to_onnx(model._result.reference, budget=Budget(0.3))  # raises where graph and predict differ
    read = PartReader(model.schema_, model._result.view, TargetCode(model.task_, 3, (0, 1, 2)), model.classes_)
    features, codes, weight = read(Part(0, inputs.head(50), table["label"].head(50)))
    np.testing.assert_array_equal(
        np.nan_to_num(features, nan=-1.0), np.nan_to_num(model.transform(inputs.head(50)), nan=-1.0)
    )
    assert model.classes_[codes].tolist() == table["label"].head(50).tolist()
    assert weight is None


def test_values_and_weights_of_all_partitions_within_a_budget(client: Any, frame: Any, table: pd.DataFrame) -> None:
    X, y = of(frame, "value")
    settings = {**SETTINGS, "time_budget": 8.0, "estimators": ["lightgbm", "ridge"]}
    model = WorkflowRegressor(**settings).fit(X, y, sample_weight=frame["shop"] + 1.0)
    members = {m.name: m.parts for m in model.best_estimator_.blend.members}
    assert model.timings_["total"] < 12.0
    said = next(d.decision for d in model.decisions_ if d.decision.startswith("final models"))
    for name, parts in members.items():
        assert (len(parts) == 1) == (f"{name} learnt from all" in said)
    assert model.score(table[["a", "b", "c", "colour"]], table["value"]) > 0.95


def test_an_unusable_target_of_some_partition_is_an_error(client: Any, table: pd.DataFrame) -> None:
    broken = table.copy()
    broken.loc[N_ROWS - 1, "label"] = None
    X, y = of(dd.from_pandas(broken, npartitions=4), "label")
    with pytest.raises(InvalidTarget, match="y is missing in 1 row of partition 3"):
        WorkflowClassifier(**SETTINGS).fit(X, y)
