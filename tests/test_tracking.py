"""Fits that are kept: a line in a file, and a run in a real MLflow store that MLflow's own client reads back."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from automl_wf import WorkflowClassifier, WorkflowRegressor, load, tracking
from automl_wf.exceptions import InvalidParameter, MissingDependency, PackageError
from automl_wf.tracking import append_run, describe_run, log_to_mlflow, read_runs


@pytest.fixture(scope="module")
def model(mixed_table: tuple[pd.DataFrame, np.ndarray], quick_settings: dict[str, Any]) -> WorkflowClassifier:
    return WorkflowClassifier(**quick_settings).fit(*mixed_table)


def test_a_run_tells_code_seed_environment_data_and_scores(model: WorkflowClassifier) -> None:
    run = describe_run(model)
    assert json.loads(json.dumps(run, allow_nan=False)) == run
    assert run["code"]["automl_wf"]
    assert run["seed"] == model._result.seed
    assert run["environment"]["packages"]["scikit-learn"]
    assert run["data"] == {**model.problem_.fingerprint.to_dict(), "target_name": "y"}
    assert run["best_score"] == model.best_score_
    assert run["interval"] == list(model.evaluation_.honest.interval)
    assert run["scores"]["roc_auc"]["value"] == model.evaluation_.primary_score.value
    assert run["scores"]["roc_auc"]["baseline"] == model.evaluation_.primary_score.baseline
    assert run["n_trials"] == len(model.leaderboard_)
    assert run["parameters"]["n_iter"] == 3


def test_the_commit_of_the_users_checkout_is_told(
    model: WorkflowClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "commit" not in describe_run(model)["code"]
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    try:
        subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True, capture_output=True)
    code = describe_run(model)["code"]
    assert len(code["commit"]) == 40
    assert code["is_changed"] is False
    (tmp_path / "new.py").write_text("")
    assert describe_run(model)["code"]["is_changed"] is True


def test_runs_are_lines_of_a_file(model: WorkflowClassifier, tmp_path: Path) -> None:
    first = model.log(tmp_path / "mine.jsonl")
    append_run(model, tmp_path / "mine.jsonl")
    lines = (tmp_path / "mine.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["best_score"] for line in lines] == [first["best_score"]] * 2
    table = read_runs(tmp_path / "mine.jsonl")
    assert table["data.in_order"].tolist() == [model.problem_.fingerprint.in_order] * 2
    assert table["scores.roc_auc.value"].notna().all()
    model.log(tmp_path)
    assert len(read_runs(tmp_path)) == 1
    assert (tmp_path / "runs.jsonl").is_file()


def test_what_cannot_be_written_or_read_says_so(model: WorkflowClassifier, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"'path' parameter must be a file that can be written to.*No such file"):
        model.log(tmp_path / "nowhere" / "runs.jsonl")
    with pytest.raises(InvalidParameter, match="there is none"):
        read_runs(tmp_path)


def test_without_mlflow_the_extra_is_named(model: WorkflowClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingDependency, match=r"automl-wf\[tracking\]"):
        model.log_to_mlflow()


READ_BACK = """
import json, sys
import mlflow, pandas as pd
uri, run_id, rows, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
model.predict(pd.read_pickle(rows)).to_pickle(out)
own = [name for name in sys.modules if name.split(".")[0] in ("automl_wf", "sklearn", "lightgbm")]
print(json.dumps(own))
"""


def _predict_elsewhere(tmp_path: Path, uri: str, run_id: str, X: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """What MLflow's own pyfunc says in a process that never heard of us, and which of our modules it loaded."""
    X.to_pickle(tmp_path / "rows.pkl")
    words = [sys.executable, "-W", "ignore", "-c", READ_BACK, uri, run_id, tmp_path / "rows.pkl", tmp_path / "out.pkl"]
    said = subprocess.run(list(map(str, words)), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return pd.read_pickle(tmp_path / "out.pkl"), said.stdout.splitlines()[-1]


@pytest.fixture
def mlflow() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'automl-wf[tracking]'")


@pytest.mark.filterwarnings("default")
def test_mlflow_reads_the_run_back_and_its_model_predicts_what_the_package_predicts(
    mlflow: Any, model: WorkflowClassifier, mixed_table: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    package = model.export(tmp_path / "package").path
    with caplog.at_level("WARNING", logger="mlflow"):
        run_id = model.log_to_mlflow(uri, run_name="first", package=package, dataset="households")
    assert "signature" not in caplog.text
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "first"
    assert run.data.metrics["best_score"] == model.best_score_
    assert run.data.metrics["roc_auc"] == model.evaluation_.primary_score.value
    assert run.data.params["n_iter"] == "3"
    assert run.data.tags["data.fingerprint"] == model.problem_.fingerprint.in_order
    low, high = model.evaluation_.honest.interval
    assert (run.data.metrics["best_score_lower"], run.data.metrics["best_score_upper"]) == (low, high)
    assert run.data.metrics["roc_auc_lower"] < run.data.metrics["roc_auc"] < run.data.metrics["roc_auc_upper"]
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.tags[0].value) == ("households", "training")
    assert model.problem_.fingerprint.in_order.startswith(given.dataset.digest)
    assert json.loads(given.dataset.profile) == {"num_rows": 160, "num_columns": 9}
    assert {f.path for f in client.list_artifacts(run_id)} == {"leaderboard.csv", "model", "package", "run.json"}
    assert (tmp_path / "mlartifacts").is_dir()

    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    by_number = sorted(nested, key=lambda n: n.info.run_name)
    board = model.leaderboard_.sort_values("number")
    assert [n.data.params["model"] for n in by_number] == board["model"].tolist()
    np.testing.assert_array_equal([n.data.metrics["score"] for n in by_number], board["score"])
    assert len(client.get_metric_history(by_number[1].info.run_id, "fold_score")) == 3

    X = mixed_table[0]
    predicted, loaded = _predict_elsewhere(tmp_path, uri, run_id, X)
    assert json.loads(loaded) == []
    assert predicted["label"].tolist() == load(package).predict(X).tolist()
    np.testing.assert_array_equal(predicted[list(model.classes_)], load(package).predict_proba(X))

    logged = mlflow.models.Model.load(client.download_artifacts(run_id, "model"))
    assert logged.signature.inputs.input_names() == model.schema_.names
    assert logged.signature.outputs.input_names() == ["label", *map(str, model.classes_)]
    assert logged.saved_input_example_info is not None


@pytest.mark.parametrize(
    ("status", "logged"),
    [("ok", "FINISHED"), ("pruned", "KILLED"), ("out_of_time", "KILLED"), ("failed", "FAILED")],
)
def test_a_trial_that_was_stopped_has_not_failed(model: WorkflowClassifier, status: Any, logged: str) -> None:
    client, mlflow = MagicMock(), MagicMock()
    trial = replace(model._result.tuning.trials[0], status=status)
    tracking._log_trial(mlflow, client, MagicMock(), trial, describe_run(model))
    assert client.set_terminated.call_args.args[1] == logged


@pytest.mark.filterwarnings("default")
def test_a_model_without_a_graph_is_logged_with_the_reason(mlflow: Any, quick: dict[str, Any], tmp_path: Path) -> None:
    from sklearn.svm import SVR

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    model = WorkflowRegressor(**quick | {"n_iter": 2}, estimators=[("svm", SVR())]).fit(X, X[:, 0])
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run_id = log_to_mlflow(model, uri, experiment="own")
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert "svm has no exact ONNX graph" in client.get_run(run_id).data.tags["graph"]
    assert "model" not in {f.path for f in client.list_artifacts(run_id)}
    assert client.get_experiment_by_name("own") is not None


@pytest.mark.filterwarnings("default")
def test_a_damaged_package_is_not_logged(mlflow: Any, model: WorkflowClassifier, tmp_path: Path) -> None:
    package = model.export(tmp_path / "package").path
    (package / "README.md").write_text("other words")
    with pytest.raises(PackageError, match=r"README\.md has other bytes"):
        model.log_to_mlflow(f"sqlite:///{tmp_path / 'mlflow.db'}", package=package)
