"""How many requests work at a time and how many wait: the rest is turned away at once, so that nothing piles up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from api.problems import Problem

WAIT_S = 10.0
BODY_S = 30.0
RETRY_AFTER = {"Retry-After": "1"}


class Gate:
    """Admits requests.

    Parameters
    ----------
    n_working : int
        Requests that may work at a time.
    n_waiting : int
        Requests that may be inside beside those, bodies on their way included.
    """

    def __init__(self, n_working: int, n_waiting: int) -> None:
        self._slots = asyncio.Semaphore(n_working)
        self._n_inside, self._max_inside = 0, n_working + n_waiting

    @asynccontextmanager
    async def inside(self) -> AsyncIterator[None]:
        """Be one of those that work or wait; raises a Problem (503) if there are too many."""
        if self._n_inside >= self._max_inside:
            raise Problem("overloaded", headers=RETRY_AFTER)
        self._n_inside += 1
        try:
            # Work on the event loop keeps others from entering: whoever has come by now is counted before it begins
            await asyncio.sleep(0)
            yield
        finally:
            self._n_inside -= 1

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Be one of those that work; raises a Problem (503) after `WAIT_S` seconds."""
        try:
            if self._slots.locked():
                async with asyncio.timeout(WAIT_S):
                    await self._slots.acquire()
            else:
                await self._slots.acquire()
        except TimeoutError:
            raise Problem("overloaded", headers=RETRY_AFTER) from None
        try:
            yield
        finally:
            self._slots.release()


async def read_body(request: Request) -> bytes:
    """The whole body of a request; raises a Problem (408) if it does not come."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.body()
    except TimeoutError:
        raise Problem("slow-request") from None
