"""Server and clients on one machine: in one process, or each client in a process of its own behind a pipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from automl_wf.core.compat import usable_threads
from automl_wf.exceptions import InvalidInput, WorkflowError
from automl_wf.federated.client import FederatedClient
from automl_wf.federated.message import Message
from automl_wf.federated.model import FederatedModel
from automl_wf.federated.server import FederatedServer

MakeClient = Callable[[], FederatedClient]
_FAILED = "failed"


@dataclass(frozen=True)
class Simulation:
    """What a simulated federation ended with.

    Parameters
    ----------
    model : FederatedModel
        The fitted model.
    traffic : DataFrame
        One row per array that crossed: `exchange`, `client`, `is_reply`, `kind`, `array`, `dtype`, `shape`, and
        `n_bytes` of the array; and one row per message with `array` "" and the bytes of the whole message.
    """

    model: FederatedModel
    traffic: pd.DataFrame

    @property
    def n_exchanges(self) -> int:
        """Questions that every client was asked."""
        return int(self.traffic["exchange"].max()) + 1

    @property
    def bytes_per_client(self) -> pd.Series:
        """Bytes to and from each client."""
        messages = self.traffic[self.traffic["array"] == ""]
        total: pd.Series = messages.groupby("client")["n_bytes"].sum()
        return total


def simulate(
    clients: Sequence[FederatedClient | MakeClient], task: str, *, processes: bool = False, **settings: Any
) -> Simulation:
    """Fit one model on the rows of several clients.

    Every message goes through its bytes, as it would over a network.

    Parameters
    ----------
    clients : sequence of FederatedClient or of callable
        The clients, or functions that make them; with `processes` functions that can be pickled, so that rows are read
        where they stay.
    task : {"classification", "regression"}
        What is predicted.
    processes : bool, default=False
        Whether each client runs in a process of its own, spawned, behind a pipe.
    **settings : object
        Further parameters of FederatedServer.

    Returns
    -------
    Simulation
        The model, and all that crossed.

    Raises
    ------
    InvalidInput
        There is no client, a client failed, or clients contradict each other.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from automl_wf.federated import FederatedClient, simulate
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clients = [FederatedClient(X[i::3], y[i::3]) for i in range(3)]
    >>> result = simulate(clients, "classification", model="linear")
    >>> float((result.model.predict(X) == y).mean()) > 0.95
    True
    """
    if not clients:
        raise InvalidInput("Expected at least one client, got none.")
    server = FederatedServer(task, **settings)
    with ExitStack() as stack:
        n_threads = max(usable_threads(None) // len(clients), 1)
        ask = [stack.enter_context(_Process(c, n_threads)) if processes else _InProcess(c) for c in clients]
        rows: list[dict[str, Any]] = []
        exchange = 0
        while (request := server.request) is not None:
            sent = request.to_bytes()
            for client in ask:
                client.send(sent)
            answers = [client.receive() for client in ask]
            replies = [Message.from_bytes(answer) for answer in answers]
            for i, (reply, answer) in enumerate(zip(replies, answers, strict=True)):
                rows += _recorded(exchange, i, False, request, len(sent))
                rows += _recorded(exchange, i, True, reply, len(answer))
            _raise_failed(replies)
            server.aggregate(replies)
            exchange += 1
    return Simulation(server.model, pd.DataFrame(rows))


def _recorded(exchange: int, client: int, is_reply: bool, message: Message, n_bytes: int) -> list[dict[str, Any]]:
    where = {"exchange": exchange, "client": client, "is_reply": is_reply, "kind": message.kind}
    arrays = [
        {**where, "array": name, "dtype": str(a.dtype), "shape": a.shape, "n_bytes": a.nbytes}
        for name, a in message.arrays.items()
    ]
    return [{**where, "array": "", "dtype": "", "shape": (), "n_bytes": n_bytes}, *arrays]


def _raise_failed(replies: Sequence[Message]) -> None:
    for i, reply in enumerate(replies):
        if reply.kind == _FAILED:
            raise InvalidInput(
                f"Client {i} failed with {reply.settings['error']}. What it says may show rows and stays there: ask "
                "the client itself."
            )


class _InProcess:
    """A client in this process, which is handed bytes all the same."""

    def __init__(self, client: FederatedClient | MakeClient) -> None:
        self._client = client if isinstance(client, FederatedClient) else client()
        self._answer = b""

    def send(self, content: bytes) -> None:
        self._answer = self._client.answer(Message.from_bytes(content)).to_bytes()

    def receive(self) -> bytes:
        return self._answer


class _Process:
    """A client in a process of its own, at the other end of a pipe, with its share of the machine's threads."""

    def __init__(self, make_client: FederatedClient | MakeClient, n_threads: int) -> None:
        if isinstance(make_client, FederatedClient):
            raise InvalidInput(
                "With processes=True pass functions that make clients: the rows of a FederatedClient are here already."
            )
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make_client, n_threads), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def send(self, content: bytes) -> None:
        self._pipe.send_bytes(content)

    def receive(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except EOFError:
            self._process.join(5.0)
            raise InvalidInput(
                f"The process of a client ended with exit code {self._process.exitcode} before it answered."
            ) from None


def _serve(pipe: Connection, make_client: MakeClient, n_threads: int) -> None:
    """Answer until the other end is closed; of an error only its name is told."""
    client: FederatedClient | None = None
    with threadpool_limits(n_threads, user_api="blas"):
        while True:
            try:
                request = Message.from_bytes(pipe.recv_bytes())
            except EOFError:
                return
            try:
                client = client or make_client()
                pipe.send_bytes(client.answer(request).to_bytes())
            except WorkflowError as error:
                pipe.send_bytes(Message(_FAILED, settings={"error": type(error).__name__}).to_bytes())
