"""Books with accounts that cannot be margined, on real actors."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from actor_world import (
    LAYOUT,
    SharedActors,
    SmallWorld,
    complete,
    make_small_world,
    soon,
)

from margin_actors.actors.book_run import Batch, Completed, Failures
from margin_actors.engine.margin import assess_book, calculate_margin
from margin_actors.market.books import Book


@pytest.fixture(scope="module")
def small() -> SmallWorld:
    return make_small_world()


def with_faults(world: SmallWorld) -> Book:
    """The book and four accounts more, three of which cannot be margined."""
    book = world.book
    more = {
        "Y-EXPIRED": {"BTC-2JAN26": 10.0},
        "Z-LARGE": {"BTC_USDC": 1e12},
        "Z-LOTS": {"BTC-PERPETUAL": 3.0},
        "Z-UNKNOWN": {"BTC-PERPETUAL": 10.0, "nonsense": 1.0},
    }
    names = sorted({*book.instruments, *(n for held in more.values() for n in held)})
    place = {name: i for i, name in enumerate(names)}
    index = [place[book.instruments[i]] for i in book.instrument_index]
    quantity, start = list(book.quantity), list(book.start)
    for held in more.values():
        index += [place[name] for name in sorted(held)]
        quantity += [held[name] for name in sorted(held)]
        start.append(len(index))
    return Book(
        (*book.accounts, *more),
        (*book.members, *["M"] * len(more)),
        tuple(names),
        np.array(start, np.int64),
        np.array(index, np.int32),
        np.array(quantity),
    )


@pytest.mark.parametrize(
    ("shards", "cube_bytes_max"),
    [
        pytest.param(3, 2**31, id="3-prices kept"),
        pytest.param(1, 0, id="1-made when needed", marks=pytest.mark.slow),
        pytest.param(1, 2**31, id="1-prices kept", marks=pytest.mark.slow),
        pytest.param(3, 0, id="3-made when needed", marks=pytest.mark.slow),
    ],
)
def test_a_book_with_accounts_that_cannot_be_margined_is_that_of_a_file_run(
    small: SmallWorld, actors: SharedActors, shards: int, cube_bytes_max: int
) -> None:
    book = with_faults(small)
    expected = calculate_margin(small.snapshot, small.scenarios, book, small.model)
    failed = ["Z-LARGE", "Z-LOTS", "Z-UNKNOWN"]
    assert [f.account_id for f in expected.failures] == failed

    async def work() -> None:
        layout = replace(LAYOUT, shards=shards, cube_bytes_max=cube_bytes_max)
        async with actors.connected(layout) as cluster:
            events = await complete(cluster, book)
            done = events[-1]
            assert isinstance(done, Completed)
            assert done.digest == expected.digest
            assert done.assessment.failures == expected.failures
            assert done.assessment.expired == {"Y-EXPIRED": ("BTC-2JAN26",)}
            assert done.assessment.book_id == book.id
            assert np.array_equal(
                done.margins.initial_margin_usd, expected.margins.initial_margin_usd
            )
            first_batch = next(i for i, e in enumerate(events) if isinstance(e, Batch))
            told = [f.account_id for e in events[:first_batch] if isinstance(e, Failures)
                    for f in e.failures]  # fmt: skip
            assert sorted(told) == failed
            assert not any(isinstance(e, Failures) for e in events[first_batch:])
            batches = [e for e in events if isinstance(e, Batch)]
            assert [b.first for b in batches] == [0, *[b.last for b in batches[:-1]]]
            assert batches[-1].last == len(done.assessment.book.accounts)

    asyncio.run(work())


@pytest.mark.slow
def test_a_book_of_which_no_account_can_be_margined_completes_with_failures_alone(
    small: SmallWorld, actors: SharedActors
) -> None:
    book = Book(("A",), ("M",), ("nonsense",), np.array([0, 1]), np.zeros(1, np.int32), np.ones(1))
    empty = Book(("A",), ("M",), (), np.array([0, 0]), np.empty(0, np.int32), np.empty(0))

    async def work() -> None:
        async with actors.connected() as cluster:
            failures, done = await complete(cluster, book)
            assert isinstance(failures, Failures)
            assert isinstance(done, Completed)
            assert done.margins.positions.size == 0
            assert done.margins.components_usd.shape[0] == 0
            assert done.assessment.failures == failures.failures
            nothing = (await complete(cluster, empty))[-1]
            assert nothing.margins.initial_margin_usd.tolist() == [0.0]
            assert nothing.assessment.failures == ()

    asyncio.run(work())


def test_the_assessment_of_a_run_is_that_of_its_generation(
    small: SmallWorld, actors: SharedActors
) -> None:
    async def work() -> None:
        async with actors.connected() as cluster:
            generation = await cluster.generation(until=soon())
            done = (await complete(cluster, small.book))[-1]
            assert done.assessment.book is small.book
            assert assess_book(generation.priced, small.book).book is small.book
            expected = calculate_margin(small.snapshot, small.scenarios, small.book, small.model)
            assert done.digest == expected.digest

    asyncio.run(work())
