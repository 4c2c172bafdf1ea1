"""The threads of a gateway: some for calculations, others for files and the ledger.

Kernels release the interpreter lock, so calculations in threads do not block the event loop. Files
and the ledger have separate threads, so that calculations do not wait for them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_IO_THREADS = 2


class GatewayThreads:
    """The two thread pools of a gateway.

    Parameters
    ----------
    computing : int
        Number of computing threads.
    """

    def __init__(self, *, computing: int) -> None:
        self._computing = ThreadPoolExecutor(computing, thread_name_prefix="margin")
        self._io = ThreadPoolExecutor(_IO_THREADS, thread_name_prefix="files")

    async def compute(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a short calculation in one of the computing threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._computing, partial(work, *args, **kwargs))

    async def run_io(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function that reads or writes files or the ledger in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._io, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Return when all functions that were submitted have finished."""
        self._computing.shutdown()
        self._io.shutdown()
