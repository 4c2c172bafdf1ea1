"""Use case of ExplainChange: what changed a requirement between two recorded calculations."""

import asyncio
from functools import partial

from margin_actors.errors import InvalidMarketData, MissingInput
from margin_cluster.archive import StoreArchive
from margin_cluster.gateway.threads import GatewayThreads
from margin_cluster.recorded_changes import RecordedChange, explain_recorded_change


class RequirementChanges:
    """Explains changes; belongs to one event loop.

    An explanation margins the account up to seven times from stored inputs, which takes seconds of
    a processor. One is computed at a time; further calls wait until their deadlines.
    """

    def __init__(self, archive: StoreArchive, threads: GatewayThreads) -> None:
        self._archive, self._threads = archive, threads
        self._turn = asyncio.Lock()

    async def explain(self, before_id: str, after_id: str, account_id: str) -> RecordedChange:
        """Return the causes of a change between two recorded calculations.

        Raises
        ------
        UnknownCalculation, UnknownAccount, InvalidRequest, InvalidPortfolio
            As `explain_recorded_change`.
        MissingInput
            If an input of a calculation is not stored or is damaged.
        """
        work = partial(
            explain_recorded_change, self._archive, before_id, after_id, account_id=account_id
        )
        async with self._turn:
            try:
                return await self._threads.compute(work)
            except InvalidMarketData as fault:  # not a fault of the request
                raise MissingInput(fault.summary, fault.problems) from fault
