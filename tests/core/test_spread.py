"""Calls made on workers of their own memory: sent once, outcomes in order, lost calls made again."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pytest

from automl_wf.core import spread
from automl_wf.core.spread import Workers, at_home
from automl_wf.exceptions import OutOfTime


def work(task: str, value: int) -> Any:
    if task == "fails":
        raise ZeroDivisionError(f"on purpose, {value}")
    if task == "late":
        raise OutOfTime("the time is up")
    return value * 2, os.getpid()


class Lossy:
    """Stands in for joblib.Parallel: gives up after `n_kept` outcomes, as when a worker dies."""

    n_kept: int
    n_handed: list[int]

    def __init__(self, **settings: Any) -> None:
        pass

    def __enter__(self) -> Lossy:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, calls: Any) -> Any:
        calls = list(calls)
        self.n_handed.append(len(calls))
        for function, arguments, _ in calls[: self.n_kept]:
            yield function(*arguments)
        raise ConnectionError("the worker\nis gone")


@pytest.fixture
def processes() -> Any:
    with joblib.parallel_config("loky", n_jobs=2):
        workers = Workers.configured()
    assert workers is not None
    return workers


def test_threads_share_memory_and_are_no_workers() -> None:
    assert Workers.configured() is None
    with joblib.parallel_config("threading", n_jobs=2):
        assert Workers.configured() is None
    with joblib.parallel_config(n_jobs=2):
        assert Workers.configured() is None


def test_libraries_below_keep_to_this_process(processes: Workers) -> None:
    with joblib.parallel_config("loky", n_jobs=2):
        with at_home(processes):
            assert Workers.configured() is None
        assert Workers.configured() is not None
    with at_home(None):
        assert Workers.configured() is None


def test_calls_in_other_processes(processes: Workers) -> None:
    processes.send(work)
    assert processes.count() == 2
    done = processes.run([("doubles", i) for i in range(5)])
    assert [outcome.value[0] for outcome in done] == [0, 2, 4, 6, 8]
    assert os.getpid() not in {outcome.value[1] for outcome in done}
    assert all(outcome.seconds > 0 and not outcome.failure for outcome in done)
    failed, late = processes.run([("fails", 3), ("late", 0)])
    assert (failed.value, failed.failure, failed.is_out_of_time) == (None, "ZeroDivisionError: on purpose, 3", False)
    assert (late.value, late.failure, late.is_out_of_time) == (None, "the time is up", True)
    assert (processes.n_sent, processes.n_here, processes.losses) == (1, 0, [])
    assert processes.n_bytes < 1000


def test_lost_calls_are_made_again_and_at_last_here(processes: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "Parallel", Lossy)
    monkeypatch.setattr(Lossy, "n_kept", 2, raising=False)
    monkeypatch.setattr(Lossy, "n_handed", [], raising=False)
    processes.send(work)
    done = processes.run([("doubles", i) for i in range(5)])
    assert [outcome.value for outcome in done] == [(2 * i, os.getpid()) for i in range(5)]
    assert Lossy.n_handed == [5, 3]
    assert (processes.n_sent, processes.n_here) == (2, 1)
    assert processes.losses == ["ConnectionError: the worker is gone"] * 2


def test_what_was_sent_is_opened_once(processes: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(spread.pickle, "loads", lambda payload: opened.append(len(payload)) or work)
    processes.send(work)
    for value in (1, 2):
        assert spread._call(7, "token", processes._payload, True, ("doubles", value))[1].value[0] == 2 * value
    assert len(opened) == 1
    monkeypatch.setattr(spread, "_OPENED", {})


def test_dask_with_a_single_core_makes_the_calls_here() -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster), joblib.parallel_config("dask"):
        workers = Workers.configured()
        assert workers is not None
        workers.send(work)
        outcomes = workers.run([("double", i) for i in range(3)])
        workers.forget()
    assert [outcome.value for outcome in outcomes] == [(2 * i, os.getpid()) for i in range(3)]
    assert (workers.losses, workers.n_sent) == ([], 1)
