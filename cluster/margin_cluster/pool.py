"""Items of work computed by several processes of this machine, in the order of the items."""

import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def results_of(
    work: Callable[[T], R], items: Sequence[T], *, begin: Callable[[], None], processes: int
) -> Iterator[R]:
    """Yield `work` of each item, in the order of the items.

    Parameters
    ----------
    work : callable
        A function of a module, so that another process can import it.
    items : sequence
        Values that can be pickled.
    begin : callable
        Called once in each process before its first item, for example to load its inputs.
    processes : int
        Number of processes; with one process, or one item, everything runs in this one.

    Notes
    -----
    If the reader stops early or an item raises, the processes are ended.
    """
    if processes <= 1 or len(items) <= 1:
        begin()
        for item in items:
            yield work(item)
        return
    with ProcessPoolExecutor(
        min(processes, len(items)), mp_context=get_context("spawn"), initializer=begin
    ) as pool:
        try:
            with _interrupts_blocked():
                futures = [pool.submit(work, item) for item in items]
            for future in futures:
                yield future.result()
        except BaseException:
            # Otherwise the pool would first finish the items that are running or queued. It marks
            # them as broken when its processes end, and fails with a traceback of its own if they
            # were cancelled before, as `pool.map` or `cancel_futures` would do.
            for process in active_children():
                process.terminate()
            raise


@contextmanager
def _interrupts_blocked() -> Generator[None]:
    """Block SIGINT in processes started in the block; in this process it is pending until the end.

    A keyboard interrupt is sent to all processes of a terminal, but only the parent process must
    handle it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
