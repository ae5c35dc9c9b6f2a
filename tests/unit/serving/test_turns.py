"""Turns: nobody waits behind everything that somebody else asked for."""

from __future__ import annotations

import asyncio

import pytest

from tft.serving.turns import Turns


async def queue_up(turns: Turns, clients: str) -> list[str]:
    """Let clients come in this order, one request a letter, and say in which order they were let in."""
    served: list[str] = []

    async def ask(client: str) -> None:
        async with turns.turn(client):
            served.append(client)
            await asyncio.sleep(0)

    await asyncio.gather(*(ask(client) for client in clients))
    return served


@pytest.mark.parametrize(
    ("clients", "served"),
    [
        ("aaaa", "aaaa"),
        ("aaaab", "aabaa"),
        ("aaaabb", "aababa"),
        ("aaabbbccc", "aabcabcbc"),
    ],
)
def test_clients_take_turns(clients: str, served: str) -> None:
    assert "".join(asyncio.run(queue_up(Turns(1), clients))) == served


def test_no_more_than_most_go_on_at_once() -> None:
    async def scenario() -> tuple[int, int, int]:
        turns = Turns(3)
        highest = 0

        async def ask(client: str) -> None:
            nonlocal highest
            async with turns.turn(client):
                highest = max(highest, turns.under_way)
                await asyncio.sleep(0.001)

        await asyncio.gather(*(ask(client) for client in "abc" * 10))
        return highest, turns.under_way, turns.waiting

    assert asyncio.run(scenario()) == (3, 0, 0)


def test_who_gives_up_waiting_takes_no_turn() -> None:
    async def scenario() -> tuple[list[str], int]:
        turns = Turns(1)
        served: list[str] = []

        async def ask(client: str) -> None:
            async with turns.turn(client):
                served.append(client)

        async with turns.turn("first"):
            waiting = [asyncio.create_task(ask(client)) for client in "abc"]
            await asyncio.sleep(0)
            waiting[1].cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*waiting, return_exceptions=True)
        return served, turns.under_way

    assert asyncio.run(scenario()) == (["a", "c"], 0)


def test_who_gives_up_in_its_turn_gives_it_back() -> None:
    async def scenario() -> int:
        turns = Turns(1)

        async def ask() -> None:
            async with turns.turn("a"):
                await asyncio.sleep(60)

        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(1), turns.turn("b"):
            return turns.under_way

    assert asyncio.run(scenario()) == 1
