"""Turns: who shares a tutor gets it in turn, however much each of them asks for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Turns:
    """Lets a number of requests go on at once; where more come, their clients take turns.

    Args:
        most: requests under way at once.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._most = most
        self._clients: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return sum(len(them) for them in self._clients.values())

    @property
    def under_way(self) -> int:
        """Requests that go on."""
        return self._most - self._free

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, and give it back."""
        if self._free:
            self._free -= 1
        else:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._clients.setdefault(client, deque()).append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._give_back()
                raise
        try:
            yield
        finally:
            self._give_back()

    def _give_back(self) -> None:
        """Let the client whose last turn is longest ago go on."""
        while self._clients:
            client, them = self._clients.popitem(last=False)
            mine = them.popleft()
            if them:
                self._clients[client] = them
            if not mine.done():
                mine.set_result(None)
                return
        self._free += 1
