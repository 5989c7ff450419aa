"""News of instances for coroutines."""

from __future__ import annotations

import asyncio
from typing import Any

from dfnb.server.changes import Changes


def watchers(server: Any) -> int:
    return len(server.hub._hub._watchers)


def test_only_the_tickets_of_a_changed_instance_and_of_all_are_told(server: Any) -> None:
    async def wait() -> None:
        changes = Changes(server.client)
        with changes.ticket("a") as mine, changes.ticket("b") as other, changes.ticket(None) as every:
            server.client.start("echo", 1, instance_id="a")
            assert await mine.wait(10)
            assert await every.wait(10)
            assert "a" in every.ids
            assert not await other.wait(0)

    asyncio.run(wait())


def test_the_hub_is_watched_while_somebody_waits_and_no_longer(server: Any) -> None:
    async def wait() -> None:
        changes = Changes(server.client)
        before = watchers(server)
        with changes.ticket("a"), changes.ticket("a"), changes.ticket(None):
            assert watchers(server) == before + 1
        assert watchers(server) == before
        assert not changes._tickets
        with changes.ticket("a"):
            assert watchers(server) == before + 1
        assert watchers(server) == before

    asyncio.run(wait())


def test_closing_wakes_all_who_wait(server: Any) -> None:
    async def wait() -> None:
        changes = Changes(server.client)
        with changes.ticket("a") as one, changes.ticket(None) as every:
            waiting = [asyncio.create_task(ticket.wait(10)) for ticket in (one, every)]
            changes.close()
            assert await asyncio.gather(*waiting) == [True, True]
            assert changes.is_closing

    asyncio.run(wait())


def test_tickets_of_two_loops_are_both_told(server: Any) -> None:
    changes = Changes(server.client)

    async def wait(*, starts: bool) -> bool:
        with changes.ticket("a") as ticket:
            if starts:
                server.client.start("echo", 1, instance_id="a")
            else:
                return await asyncio.to_thread(lambda: asyncio.run(wait(starts=True))) and await ticket.wait(10)
            return await ticket.wait(10)

    assert asyncio.run(wait(starts=False))
    assert not changes._tickets


def test_a_ticket_that_is_gone_is_told_nothing(server: Any) -> None:
    """The hub tells on its own thread: a waiter whose loop has ended in the meantime must not harm it."""
    changes = Changes(server.client)

    async def leave() -> Any:
        ticket = changes.ticket("a")
        changes.add(ticket)
        return ticket

    ticket = asyncio.run(leave())
    server.client.start("echo", 1, instance_id="a").wait(10)
    changes.close()
    changes.remove(ticket)
    assert not changes._tickets
