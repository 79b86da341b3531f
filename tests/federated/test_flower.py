"""The two apps of Flower over the core; without flwr they say what to install."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from automl_wf.exceptions import MissingDependency
from automl_wf.federated import FederatedClient, FederatedModel, simulate
from automl_wf.federated.flower import client_app, server_app

needs_flower = pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="flwr is not installed")


def _client(context: Any) -> FederatedClient:
    place = int(context.node_config["partition-id"])
    X = np.random.default_rng(0).normal(size=(90, 2))[place::3]
    return FederatedClient(X, X[:, 0] - X[:, 1], seed=place)


def test_without_flwr_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr", None)
    for make in (lambda: client_app(_client), lambda: server_app("regression", 2, print)):
        with pytest.raises(MissingDependency, match=r"automl-wf\[flower\]"):
            make()


@needs_flower
def test_messages_through_flower_end_in_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.app import Context, RecordDict
    from flwr.supercore.task_identity import TaskIdentity

    # What the runtime of Flower tells its processes before it starts an app.
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    contexts = {n: Context(1, n, {"partition-id": n - 1}, RecordDict(), {}) for n in (1, 2, 3)}
    app = client_app(_client)

    class Grid:
        """Hands each message to the app of its node, backwards, as answers may come."""

        def get_node_ids(self) -> list[int]:
            return list(contexts)

        def send_and_receive(self, messages: list[Any], *, timeout: float | None = None) -> list[Any]:
            return [app(m, contexts[m.metadata.dst_node_id]) for m in reversed(messages)]

    found: list[FederatedModel] = []
    server_app("regression", 3, found.append, params={"n_rounds": 3})(Grid(), contexts[1])
    expected = simulate([lambda n=n: _client(contexts[n]) for n in (1, 2, 3)], "regression", params={"n_rounds": 3})
    X = np.random.default_rng(1).normal(size=(20, 2))
    np.testing.assert_array_equal(found[0].predict(X), expected.model.predict(X))
