"""What all tests share: small seeded tables, quick settings, and the seconds of each group at the end of the run."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl_wf.model_selection import catalogue

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

#: What tests start themselves reports to nobody; that automl_wf does not either is a test of its own.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
#: Two workers on two cores: a pool of threads in each would only fight.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: A fit of a second: the portfolio's first configurations, no clock.
QUICK: dict[str, Any] = {"time_budget": None, "n_iter": 3, "cv": 3, "n_jobs": 1, "random_state": 0, "verbose": 0}


@pytest.fixture
def core_dependencies_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue as it is where no extra is installed; AUTOML_WF_ALL_MODELS=1 leaves it whole."""
    if not os.environ.get("AUTOML_WF_ALL_MODELS"):
        monkeypatch.setattr(catalogue, "is_installed", lambda spec: spec.requires is None)


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def shared_data() -> Path:
    """The tables beside the checkout; a user's machine has none."""
    if not (SHARED_DATA / "MANIFEST.json").is_file():
        pytest.skip("no tables beside the checkout (../shared/data)")
    return SHARED_DATA


@pytest.fixture
def quick() -> dict[str, Any]:
    """Parameters for a fit of a second or so, the same on every machine."""
    return dict(QUICK)


def make_mixed_frame(n_rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """Every kind of column, gaps in all but one; `amount`, `city` and `joined` carry the signal of `make_target`."""
    rng = np.random.default_rng(seed)
    start = np.datetime64("2024-01-01T00:00:00", "us")
    joined = pd.Series(start + rng.integers(0, 2 * 365 * 86400, n_rows).astype("timedelta64[s]"))
    cities = np.array(["Oslo", "Zürich", "São Paulo", "東京", "New York"], dtype=object)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(50.0, 20.0, n_rows),
            "count": rng.integers(0, 9, n_rows),
            "city": rng.choice(cities, n_rows),
            "plan": pd.Categorical(rng.choice(["free", "pro", "team"], n_rows)),
            "is_member": rng.random(n_rows) < 0.4,
            "visits": pd.array(rng.integers(0, 50, n_rows), dtype="Int64"),
            "joined": joined,
            "seen": joined.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
            "born": joined.dt.strftime("%Y-%m-%d").astype(object),
        }
    )
    for j, column in enumerate(frame.columns.drop(["count", "is_member"])):
        frame.loc[rng.random(n_rows) < 0.02 * (j + 1), column] = None
    return frame


def make_target(frame: pd.DataFrame, task: str, seed: int = 1) -> np.ndarray:
    """A target of this task that a model can learn from the frame."""
    rng = np.random.default_rng(seed)
    month = frame["joined"].dt.month.fillna(6).to_numpy(dtype=float)
    signal = (
        (frame["amount"].fillna(50.0).to_numpy() - 50.0) / 20.0
        + 1.5 * frame["city"].isin(["Oslo", "東京"]).to_numpy()
        + 0.5 * np.cos(month / 12 * 2 * np.pi)
        + 0.3 * rng.normal(size=len(frame))
    )
    match task:
        case "binary":
            return np.where(signal > np.median(signal), "yes", "no")
        case "multiclass":
            return np.array(["low", "None", "high"])[np.digitize(signal, np.quantile(signal, [0.33, 0.67]))]
        case "ranking":
            return np.digitize(signal, np.quantile(signal, [0.5, 0.8])).astype(float)
        case _:
            return 100.0 + 10.0 * signal


@pytest.fixture(scope="session")
def quick_settings() -> dict[str, Any]:
    """As `quick`, for fixtures that live longer than a test."""
    return dict(QUICK)


@pytest.fixture(scope="session")
def mixed_table() -> tuple[pd.DataFrame, np.ndarray]:
    """A mixed frame of 160 rows and its binary target."""
    frame = make_mixed_frame()
    return frame, make_target(frame, "binary")


@pytest.fixture
def mixed_frame() -> Callable[..., pd.DataFrame]:
    """`make_mixed_frame(n_rows, seed)`."""
    return make_mixed_frame


@pytest.fixture
def target_of() -> Callable[..., np.ndarray]:
    """`make_target(frame, task, seed)`."""
    return make_target


def run_graph(model: Any, X: Any) -> dict[str, np.ndarray]:
    """Outputs of `model.to_onnx()` on raw rows, read at the edge and fed as any other language would feed them."""
    import onnxruntime

    from automl_wf.core.coerce import coerce

    schema = model.schema_
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
    wanted = {i.name for i in session.get_inputs()}
    feed = {}
    if schema.layout == "array":
        feed["X"] = np.column_stack([coerce(frame.iloc[:, c.position].to_numpy(), "double") for c in schema.columns])
    else:
        for column in schema.columns:
            if column.input_name in wanted:
                series = frame.iloc[:, column.position] if not isinstance(X, pd.DataFrame) else frame[column.name]
                cells = series.astype(object).tolist()
                feed[column.input_name] = coerce(cells, column.edge, column.cell_format)[:, None]
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def assert_graph_equals_predict(model: Any, X: Any) -> None:
    """DESIGN's bound: labels equal, numbers within 1e-9 times max(1, the largest)."""
    outputs = run_graph(model, X)
    if "label" in outputs:
        np.testing.assert_array_equal(outputs["label"].ravel().astype(str), np.asarray(model.predict(X)).astype(str))
        expected, actual = model.predict_proba(X), outputs["probabilities"]
    else:
        expected, actual = model.predict(X), outputs["prediction"].ravel()
    assert actual.dtype == np.float64
    bound = 1e-9 * max(1.0, float(np.abs(expected).max()))
    assert float(np.abs(actual - expected).max()) <= bound
    if "in_set" in outputs:
        np.testing.assert_array_equal(outputs["in_set"], model.predict_interval(X))
    elif "lower" in outputs:
        ends = np.column_stack([outputs["lower"], outputs["upper"]])
        assert float(np.abs(ends - model.predict_interval(X)).max()) <= bound


@pytest.fixture
def graph_equals_predict() -> Callable[[Any, Any], None]:
    """`assert_graph_equals_predict(model, X)`."""
    return assert_graph_equals_predict


@pytest.fixture
def graph_outputs() -> Callable[[Any, Any], dict[str, np.ndarray]]:
    """`run_graph(model, X)`."""
    return run_graph


_seconds: defaultdict[str, float] = defaultdict(float)
_tests: defaultdict[str, int] = defaultdict(int)
_checks: defaultdict[tuple[str, str], int] = defaultdict(int)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what setup, call and teardown of each test took, by its folder."""
    path = report.nodeid.split("::")[0]
    parts = Path(path).parts
    group = "doctests" if parts[0] == "automl_wf" else "/".join(parts[:2] if len(parts) > 2 else parts[:1])
    _seconds[group] += report.duration
    _tests[group] += report.when == "call"
    check = re.search(r"test_estimator_checks\.py::test_check\[(\w+)", report.nodeid)
    if check and (report.when == "call" or report.outcome != "passed"):
        _checks[check[1], report.outcome] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say where the time went, before pytest's closing line."""
    terminalreporter.section("seconds per group")
    for group, seconds in sorted(_seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{group:<32}{_tests[group]:>6} tests{seconds:>9.1f} s")
    if _checks:
        terminalreporter.section("scikit-learn's checks on default parameters, expected failures: none")
        for (name, outcome), count in sorted(_checks.items()):
            terminalreporter.write_line(f"{name:<32}{count:>6} {outcome}")
