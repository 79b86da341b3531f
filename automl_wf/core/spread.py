"""Work spread over whatever joblib is configured with: Dask, Ray, Spark or processes of this machine.

Without a configured backend there is nothing to spread over: threads of this process share its memory. Workers of a
configured one have memory of their own. What all calls need (a table, say) is therefore sent to each of them once,
ahead of the calls, and every call names it; what a call raises comes back as its outcome; a call that is lost with its
worker is made again, and at last here.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_wf.core.compat import pickled_by_value
from automl_wf.exceptions import OutOfTime

#: Times that calls are handed to the workers before those still without an outcome are made here.
ATTEMPTS = 2

_OPENED: dict[str, tuple[Any, Any]] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What came of a call, wherever it was made.

    Parameters
    ----------
    value : object
        What it returned; None if it raised.
    seconds : float
        What it took.
    failure : str
        Type and message of what it raised; empty if it returned.
    is_out_of_time : bool
        Whether it raised OutOfTime.
    """

    value: Any
    seconds: float
    failure: str = ""
    is_out_of_time: bool = False


class Workers:
    """The workers of joblib's configured backend, with what they were sent.

    Parameters
    ----------
    backend : object
        The configured backend.
    n_jobs : int
        How many of its workers may be used; 1, joblib's default, and -1: all.

    Attributes
    ----------
    n_bytes : int
        Size of what was sent to each worker.
    n_sent : int
        Times that it was sent: once, and once more after workers were lost.
    n_here : int
        Calls that were made here after all.
    losses : list of str
        Why an attempt ended before all calls had an outcome.
    """

    def __init__(self, backend: Any, n_jobs: int) -> None:
        self._backend, self._n_jobs = backend, -1 if n_jobs == 1 else n_jobs
        self._work: Callable[..., Any] | None = None
        self._payload: NDArray[np.uint8] = np.empty(0, dtype=np.uint8)
        self._token, self._address = "", None
        self._pool: Parallel | None = None
        self.n_bytes = self.n_sent = self.n_here = 0
        self.losses: list[str] = []

    @classmethod
    def configured(cls) -> Workers | None:
        """Those of the backend that `joblib.parallel_config` names; None: threads of this process do."""
        backend, n_jobs = get_active_backend(prefer="threads")
        if getattr(backend, "supports_sharedmem", False) or getattr(backend, "nesting_level", 0) or _is_in_dask_task():
            return None
        return cls(backend, n_jobs)

    def count(self) -> int:
        """How many calls are made at a time; 1 where the backend finds no worker."""
        try:
            with self._configured():
                return max(int(effective_n_jobs(self._n_jobs)), 1)
        except Exception as error:  # Dask waits for workers, but not for ever
            self._note(error)
            return 1

    def send(self, work: Callable[..., Any]) -> None:
        """Send to every worker, once, what `run` will call.

        Parameters
        ----------
        work : callable
            Called with the arguments of each call. Threads of one worker share it.
        """
        self._work, self._token = work, uuid4().hex
        self._payload = np.frombuffer(pickled_by_value(work), dtype=np.uint8)
        self.n_bytes = self._payload.nbytes
        self._address = None

    def run(self, calls: Sequence[tuple[Any, ...]]) -> list[Outcome]:
        """Make calls of what was sent, side by side.

        Parameters
        ----------
        calls : sequence of tuple
            Arguments of each call.

        Returns
        -------
        list of Outcome
            In the order of `calls`; what a call raised is in its outcome.
        """
        assert self._work is not None
        done: dict[int, Outcome] = {}
        for _ in range(ATTEMPTS):
            left = [i for i in range(len(calls)) if i not in done]
            try:
                for i, outcome in self._made_elsewhere(calls, left):
                    done[i] = outcome
            except Exception as error:  # workers or their connection are lost: the calls are made again
                self._note(error)
            if len(done) == len(calls):
                break
        for i in [i for i in range(len(calls)) if i not in done]:
            done[i] = _outcome(self._work, calls[i])
            self.n_here += 1
        return [done[i] for i in range(len(calls))]

    def forget(self) -> None:
        """Let go what was sent, here and on the workers."""
        self._work, self._address = None, None
        self._payload = np.empty(0, dtype=np.uint8)
        self._close()

    def _made_elsewhere(self, calls: Sequence[tuple[Any, ...]], left: Sequence[int]) -> Iterator[tuple[int, Outcome]]:
        if self._address is None:
            self._address = self._sent()
            self.n_sent += 1
        is_dask = hasattr(self._backend, "client")
        yield from self._opened_pool()(
            delayed(_call)(i, self._token, self._address, not is_dask, calls[i]) for i in left
        )

    def _opened_pool(self) -> Parallel:
        """One pool for all calls: Ray's would start its processes anew for each of them."""
        if self._pool is None:
            in_any_order = getattr(self._backend, "supports_return_generator", False)
            with self._configured():
                pool = Parallel(n_jobs=self._n_jobs, return_as="generator_unordered" if in_any_order else "list")
                self._pool = pool.__enter__()
        return self._pool

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.__exit__(None, None, None)
            self._pool = None

    def _note(self, error: Exception) -> None:
        """Remember why calls were lost; what was sent may be lost with them."""
        self.losses.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        self._address = None
        self._close()

    def _sent(self) -> Any:
        """Where workers find the payload: in Dask's or Ray's store, which copy it once per worker or machine.

        Other backends are handed the bytes with each call; joblib's own processes map them from one file.
        """
        if hasattr(self._backend, "client"):
            return self._backend.client.scatter(self._payload, broadcast=True, hash=False)
        if type(self._backend).__module__.startswith("ray."):
            import ray

            return ray.put(self._payload)
        return self._payload

    @contextmanager
    def _configured(self) -> Iterator[None]:
        with parallel_config(backend=self._backend, n_jobs=self._n_jobs):
            yield


@contextmanager
def at_home(workers: Workers | None) -> Iterator[None]:
    """Keep joblib loops of other libraries in this process, where there are workers to spread over."""
    if workers is None:
        yield
        return
    with parallel_config(backend="threading"):
        yield


def _call(place: int, token: str, address: Any, keeps: bool, arguments: tuple[Any, ...]) -> tuple[int, Outcome]:
    """One call, on a worker."""
    with parallel_config(backend="threading"):
        return place, _outcome(_opened(token, address, keeps), arguments)


def _outcome(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    start = time.perf_counter()
    try:
        with threadpool_limits(1, user_api="blas"):
            value = work(*arguments)
    except Exception as error:  # what a call raises is its outcome: the worker is fine
        seconds = time.perf_counter() - start
        if isinstance(error, OutOfTime):
            return Outcome(None, seconds, str(error), is_out_of_time=True)
        return Outcome(None, seconds, f"{type(error).__name__}: {error}")
    return Outcome(value, time.perf_counter() - start)


def _opened(token: str, address: Any, keeps: bool) -> Callable[..., Any]:
    """What was sent, unpickled once per process and let go with its bytes, or else when other work comes."""
    with _LOCK:
        if token not in _OPENED:
            payload = _received(address)
            if keeps:
                _OPENED.clear()
            else:
                weakref.finalize(payload, _OPENED.pop, token, None)
            _OPENED[token] = (pickle.loads(payload), payload if keeps else None)
        work: Callable[..., Any] = _OPENED[token][0]
        return work


def _received(address: Any) -> Any:
    """The bytes: Dask has put them in the place of their address, Ray is asked for them."""
    if isinstance(address, np.ndarray):
        return address
    if hasattr(address, "result"):
        # Where Dask has a single core, or has lost all others, joblib makes the calls in this process
        bytes_here: NDArray[np.uint8] = address.result()
        return bytes_here
    import ray

    return ray.get(address)


def _is_in_dask_task() -> bool:
    """Whether this runs inside a task of Dask, whose worker is not to wait for others."""
    distributed = sys.modules.get("distributed.utils")
    return distributed is not None and hasattr(distributed.thread_state, "execution_state")
