"""Clients and server as the two apps of Flower, which carries the messages: `pip install "automl-wf[flower]"`.

Flower may run every message in another process, so that a client is kept in the context of its node between messages;
that context stays at the node.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from typing import Any

from automl_wf.exceptions import InvalidInput, MissingDependency
from automl_wf.federated.client import FederatedClient
from automl_wf.federated.message import Message
from automl_wf.federated.model import FederatedModel
from automl_wf.federated.server import FederatedServer

_RECORD, _CONTENT = "automl_wf", "content"


def client_app(make_client: Callable[[Any], FederatedClient]) -> Any:
    """What a node runs.

    Parameters
    ----------
    make_client : callable
        `make_client(context)` reads the rows of a node, once; `context.node_config` says which node it is.

    Returns
    -------
    flwr.clientapp.ClientApp
        Answers each message of `server_app`.

    Raises
    ------
    MissingDependency
        flwr is not installed.
    """
    app = _import_flower().clientapp.ClientApp()

    @app.train()  # type: ignore[untyped-decorator]
    def answer(message: Any, context: Any) -> Any:
        state = context.state
        client = pickle.loads(state[_RECORD][_CONTENT]) if _RECORD in state else make_client(context)
        reply = client.answer(Message.from_bytes(message.content[_RECORD][_CONTENT]))
        state[_RECORD] = _record(pickle.dumps(client, protocol=pickle.HIGHEST_PROTOCOL))
        flower = _import_flower()
        return flower.app.Message(flower.app.RecordDict({_RECORD: _record(reply.to_bytes())}), reply_to=message)

    return app


def server_app(
    task: str, n_clients: int, on_model: Callable[[FederatedModel], None], *, timeout: float = 3600.0, **settings: Any
) -> Any:
    """What the server runs.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    n_clients : int
        Nodes that are waited for; all that are there then take part.
    on_model : callable
        `on_model(model)` is called with the fitted model.
    timeout : float, default=3600.0
        Seconds until all nodes are there, and for each answer.
    **settings : object
        Further parameters of FederatedServer.

    Returns
    -------
    flwr.serverapp.ServerApp
        Asks until there is a model.

    Raises
    ------
    MissingDependency
        flwr is not installed.
    """
    flower = _import_flower()
    app = flower.serverapp.ServerApp()

    @app.main()  # type: ignore[untyped-decorator]
    def main(grid: Any, context: Any) -> None:
        server = FederatedServer(task, **settings)
        nodes = _wait_for(grid, n_clients, timeout)
        while (request := server.request) is not None:
            content = request.to_bytes()
            sent = [
                flower.app.Message(
                    flower.app.RecordDict({_RECORD: _record(content)}), dst_node_id=node, message_type="train"
                )
                for node in nodes
            ]
            replies = list(grid.send_and_receive(sent, timeout=timeout))
            failed = [r.metadata.src_node_id for r in replies if r.has_error()]
            if failed or len(replies) < len(nodes):
                raise InvalidInput(
                    f"Expected an answer to {request.kind!r} of all {len(nodes)} nodes within {timeout:g} s. Got "
                    f"{len(replies)}, of which {len(failed)} are errors (nodes {failed[:5]!r}): see the logs there."
                )
            # Sums are added up in one order, whichever node answers first.
            replies.sort(key=lambda reply: int(reply.metadata.src_node_id))
            server.aggregate([Message.from_bytes(r.content[_RECORD][_CONTENT]) for r in replies])
        on_model(server.model)

    return app


def _wait_for(grid: Any, n_clients: int, timeout: float) -> list[int]:
    """Ids of the nodes, in order, once there are enough of them."""
    deadline = time.monotonic() + timeout
    while len(nodes := sorted(grid.get_node_ids())) < n_clients:
        if time.monotonic() > deadline:
            raise InvalidInput(f"Expected {n_clients} nodes within {timeout:g} s, got {len(nodes)}.")
        time.sleep(0.5)
    return nodes


def _record(content: bytes) -> Any:
    return _import_flower().app.ConfigRecord({_CONTENT: content})


def _import_flower() -> Any:
    try:
        import flwr
        import flwr.app
        import flwr.clientapp
        import flwr.serverapp
    except ImportError as error:
        raise MissingDependency(
            'Federated learning over Flower needs flwr: pip install "automl-wf[flower]". In one process '
            "automl_wf.federated.simulate needs nothing more."
        ) from error
    return flwr
