"""Several users of what is made once: who waits, who may take it away, and what is left when they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from reconciler.service.shared import InFlight, Progress


class Maker:
    """Makes numbers when it is let; notes what was made, given up, and thrown away."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.kept: set[int] = set()
        self.given_up = 0
        self.let = asyncio.Event()
        self.error = error
        self.tell: Progress = lambda _: None

    def __call__(self, tell: Progress) -> AbstractAsyncContextManager[int]:
        return self._make(tell)

    @asynccontextmanager
    async def _make(self, tell: Progress) -> AsyncIterator[int]:
        self.begun += 1
        number = self.begun
        self.tell = tell
        self.kept.add(number)
        try:
            await self.let.wait()
            if self.error:
                raise self.error
            yield number
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # ending takes a moment, for which whoever gives up must wait
            self.given_up += 1
            raise
        finally:
            self.kept.discard(number)


class User:
    """Uses what is made until it is let go; notes what it got and what it was told."""

    def __init__(self) -> None:
        self.got: tuple[int, bool] | None = None
        self.told: list[float] = []
        self.has = asyncio.Event()
        self.go = asyncio.Event()

    async def use(self, shared: InFlight[int], maker: Maker, identity: str = "x") -> None:
        async with shared.use(identity, maker, self.told.append) as self.got:
            self.has.set()
            await self.go.wait()


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def scenario(
    play: Callable[[InFlight[int], Maker, list[User], list[asyncio.Task[None]]], Coroutine[Any, Any, None]],
    *,
    users: int = 2,
    error: Exception | None = None,
) -> Maker:
    """Begin some users of one thing, and play."""

    async def main() -> Maker:
        shared, maker = InFlight[int](), Maker(error)
        everyone = [User() for _ in range(users)]
        tasks = [asyncio.create_task(user.use(shared, maker)) for user in everyone]
        await settle()
        async with asyncio.timeout(10):
            await play(shared, maker, everyone, tasks)
        assert all(task.done() for task in tasks)
        assert len(asyncio.all_tasks()) == 1
        assert shared._shared == {}
        return maker

    return asyncio.run(main())


def test_one_user_has_it_alone_and_it_is_kept_as_long_as_it_is_used() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        (user,) = users
        maker.let.set()
        await user.has.wait()
        assert user.got == (1, True)
        assert maker.kept == {1}
        user.go.set()
        await asyncio.gather(*tasks)
        assert maker.kept == set()

    scenario(play, users=1)


def test_two_users_have_one_and_neither_may_take_it_away() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        maker.let.set()
        await asyncio.gather(*(user.has.wait() for user in users))
        assert [user.got for user in users] == [(1, False), (1, False)]
        users[0].go.set()
        await tasks[0]
        assert maker.kept == {1}, "the other one still uses it"
        users[1].go.set()
        await tasks[1]

    assert scenario(play).begun == 1


def test_other_things_are_made_by_themselves() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        other = User()
        tasks.append(asyncio.create_task(other.use(shared, maker, "y")))
        maker.let.set()
        await asyncio.gather(users[0].has.wait(), other.has.wait())
        assert sorted(user.got or (0, False) for user in (users[0], other)) == [(1, True), (2, True)]
        for user in (users[0], other):
            user.go.set()
        await asyncio.gather(*tasks)

    scenario(play, users=1)


def test_whoever_comes_after_it_was_made_makes_it_anew() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        maker.let.set()
        await asyncio.gather(*(user.has.wait() for user in users))
        third = User()
        tasks.append(asyncio.create_task(third.use(shared, maker)))
        await third.has.wait()
        assert third.got == (2, True)
        for user in (*users, third):
            user.go.set()
        await asyncio.gather(*tasks)

    assert scenario(play).begun == 2


def test_everybody_who_waits_is_told_how_far_it_is() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        maker.tell(0.25)
        late = User()
        tasks.append(asyncio.create_task(late.use(shared, maker)))
        await settle()
        maker.tell(0.5)
        assert [user.told for user in (*users, late)] == [[0.25, 0.5], [0.25, 0.5], [0.5]]
        maker.let.set()
        for user in (*users, late):
            user.go.set()
        await asyncio.gather(*tasks)

    scenario(play)


def test_one_who_gives_up_leaves_it_to_the_others() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert tasks[0].cancelled()
        maker.let.set()
        users[1].go.set()
        await tasks[1]
        assert users[1].got is not None
        assert users[1].got[0] == 1

    assert scenario(play).given_up == 0


def test_when_all_give_up_it_is_given_up_and_nothing_of_it_is_left() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert maker.kept == set(), "whoever was cancelled last has waited for its end"

    assert scenario(play).given_up == 1


def test_whoever_comes_while_it_is_given_up_makes_it_anew() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        tasks[0].cancel()
        await settle()
        assert not tasks[0].done()
        late = User()
        tasks.append(asyncio.create_task(late.use(shared, maker)))
        maker.let.set()
        late.go.set()
        await asyncio.wait(tasks)
        assert late.got == (2, True)

    assert scenario(play, users=1).given_up == 1


def test_one_who_is_cancelled_before_anything_was_begun_leaves_nothing() -> None:
    async def main() -> None:
        shared, maker, user = InFlight[int](), Maker(), User()
        task = asyncio.create_task(user.use(shared, maker))
        task.cancel()
        await asyncio.wait([task])
        entering = asyncio.create_task(user.use(shared, maker))
        await asyncio.sleep(0)  # it has asked, and what makes it has not begun
        entering.cancel()
        await asyncio.wait([entering])
        assert maker.begun == maker.given_up <= 1
        assert (maker.kept, shared._shared, len(asyncio.all_tasks())) == (set(), {}, 1)

    asyncio.run(main())


def test_an_error_reaches_everybody() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        maker.let.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [repr(each) for each in found] == ["OSError(28, 'full')"] * 3

    assert scenario(play, users=3, error=OSError(28, "full")).kept == set()


def test_after_an_error_it_is_made_anew() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        maker.let.set()
        await asyncio.wait(tasks)
        assert isinstance(tasks[0].exception(), ValueError)
        maker.error = None
        again = User()
        again.go.set()
        await again.use(shared, maker)
        assert again.got == (2, True)

    scenario(play, users=1, error=ValueError("once"))


def test_a_user_that_fails_leaves_it_to_the_others() -> None:
    async def main() -> None:
        shared, maker, user = InFlight[int](), Maker(), User()
        maker.let.set()

        async def failing() -> None:
            async with shared.use("x", maker, lambda _: None):
                raise KeyError

        tasks = [asyncio.create_task(failing()), asyncio.create_task(user.use(shared, maker))]
        await user.has.wait()
        assert maker.kept == {1}
        with pytest.raises(KeyError):
            await tasks[0]
        user.go.set()
        await tasks[1]
        assert maker.kept == set()

    asyncio.run(main())


def test_many_users_come_and_go_and_it_is_made_once() -> None:
    async def play(shared: InFlight[int], maker: Maker, users: list[User], tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks[::2]:
            task.cancel()
        await settle()
        asyncio.get_running_loop().call_soon(maker.let.set)
        for user in users:
            user.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [asyncio.CancelledError, type(None)] * 10
        assert {user.got for user in users[1::2]} == {(1, False)}

    maker = scenario(play, users=20)
    assert (maker.begun, maker.given_up) == (1, 0)
