"""What is said while fit works: nothing at 0, a summary at 1, each trial at 2."""

from __future__ import annotations

import logging

import pytest

from automl_wf.core.budget import Budget
from automl_wf.core.progress import Progress


def run(verbose: int) -> None:
    with Progress(verbose, Budget(10.0)) as progress:
        progress.stage("model selection")
        progress.trial("ridge", -1.5, -1.25, 3)
        progress.say(["model: ridge", "score: 1.25"])


def test_silent_at_zero(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="automl_wf"):
        run(0)
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")


def test_the_summary_goes_to_whoever_listens(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="automl_wf"):
        run(1)
    assert caplog.messages == ["model: ridge", "score: 1.25"]
    assert capsys.readouterr().out == ""


def test_without_logging_the_summary_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run(1)
    assert capsys.readouterr() == ("", "model: ridge\nscore: 1.25\n")


def test_stages_and_trials_are_logged_at_two(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="automl_wf"):
        run(2)
    assert caplog.messages[:2] == ["stage: model selection", "trial 3: ridge: -1.5 (best -1.25)"]


def test_the_live_line_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown: list[str] = []
    with Progress(1, Budget(10.0)) as progress:
        assert progress._status is not None
        monkeypatch.setattr(progress._status, "update", shown.append)
        progress.stage("bayesian hpo")
        progress.trial("ridge", -1.5, -1.25, 3)
    assert shown[0].startswith("bayesian hpo · ")
    assert shown[1].startswith("bayesian hpo · best -1.25 · 3 trials · ")
    assert shown[1].endswith(" s left")
    assert progress._status is None
