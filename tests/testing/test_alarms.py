"""Waiting for a time of any clock, from threads and from event loops."""

from __future__ import annotations

import asyncio
import math
import threading

from dfnb.engine.clock import FakeClock, SystemClock
from dfnb.testing.alarms import Alarms


def test_coroutines_are_woken_in_the_order_of_their_times(clock: FakeClock) -> None:
    woken: list[int] = []

    async def main() -> None:
        alarms = Alarms(clock)

        async def one(seconds: int) -> None:
            await alarms.sleep(alarms.due(seconds))
            woken.append(seconds)

        tasks = [asyncio.create_task(one(seconds)) for seconds in (3, 1, 2)]
        await asyncio.sleep(0)
        clock.advance(1)
        await tasks[1]
        clock.advance(2)
        await asyncio.gather(*tasks)
        alarms.close()

    asyncio.run(main())
    assert woken == [1, 2, 3]


def test_a_thread_is_woken_by_the_clock_or_by_the_end(clock: FakeClock) -> None:
    alarms = Alarms(clock)
    for due, wake in ((alarms.due(5), lambda: clock.advance(5)), (alarms.due(math.inf), alarms.close)):
        thread = threading.Thread(target=alarms.wait, args=(due,))
        thread.start()
        wake()
        thread.join(20)
        assert not thread.is_alive()


def test_real_time_passes_by_itself() -> None:
    async def main() -> None:
        alarms = Alarms(SystemClock())
        await asyncio.wait_for(asyncio.gather(*(alarms.sleep(alarms.due(0.01)) for _ in range(100))), 20)
        alarms.close()

    asyncio.run(main())


def test_a_cancelled_sleep_disturbs_nobody(clock: FakeClock) -> None:
    async def main() -> None:
        alarms = Alarms(clock)
        given_up, kept = (asyncio.create_task(alarms.sleep(alarms.due(1))) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        clock.advance(1)
        await asyncio.wait_for(kept, 20)
        alarms.close()

    asyncio.run(main())
