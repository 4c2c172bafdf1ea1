"""Replays: recorded calculations computed again and compared with what was recorded, to the bit."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

import pyarrow as pa

from margin_actors.errors import InvalidMarketData, MarginError, MissingInput
from margin_cluster.archive import StoreArchive
from margin_cluster.ledger import (
    AccountFailureRecord,
    AccountMarginRecord,
    CalculationRecord,
    ComponentRecord,
    ModelVersionRecord,
)
from margin_cluster.margin_records import (
    account_failure_record,
    account_margin_record,
    margins_to_table,
)
from margin_cluster.recalculation import Recalculation, RecordedInputs, recalculate
from margin_cluster.sources import ModelRegistry

DIFFERENCES_MAX = 100
"""Most differences of one calculation that are listed."""


@dataclass(frozen=True)
class Difference:
    """One value of a calculation that differs from what was recorded."""

    where: str
    recorded: str
    found: str
    """The value as computed again; of a damaged object, what is wrong with it."""


@dataclass(frozen=True)
class Replay:
    """A recorded calculation compared with its repetition."""

    record: CalculationRecord
    model: ModelVersionRecord | None
    """The version of the model with its signatures; None if the ledger does not hold it."""
    digest: str
    """Digest as computed again; empty if it could not be computed."""
    differences: tuple[Difference, ...]
    """The first is the one to be looked at first: inputs, then the digest, then single values."""
    missing: MissingInput | None = None
    """The input that is missing, so that nothing could be computed."""

    @property
    def is_equal(self) -> bool:
        """True if the calculation was repeated with the same result."""
        return not self.differences and self.missing is None


def replayed(
    archive: StoreArchive,
    records: Iterable[CalculationRecord],
    registry: ModelRegistry | None = None,
) -> Iterator[Replay]:
    """Yield the replay of each calculation; a missing input of one does not stop the others.

    Parameters
    ----------
    archive : StoreArchive
    records : iterable of CalculationRecord
        Those of equal inputs are replayed fastest if they follow one another.
    registry : ModelRegistry, optional
        As for `recorded_model`.
    """
    inputs = RecordedInputs(archive, registry)
    for record in records:
        used = record.generation
        model = archive.ledger.models.named(used.model_name, used.model_version)
        try:
            found = recalculate(inputs, record)
            differences = tuple(_differences(inputs, record, found))[:DIFFERENCES_MAX]
            yield Replay(record, model, found.digest, differences)
        except MissingInput as error:
            yield Replay(record, model, "", (), error)
        except InvalidMarketData as error:
            yield Replay(record, model, "", _faults(error, "as its id names it"))
        except MarginError as error:
            yield Replay(record, model, "", _faults(error, "a margin"))


def _faults(error: MarginError, recorded: str) -> tuple[Difference, ...]:
    if not error.problems:
        return (Difference("calculation", recorded, error.summary),)
    return tuple(Difference(str(p.where), recorded, p.what) for p in error.problems)


def _differences(
    inputs: RecordedInputs, record: CalculationRecord, found: Recalculation
) -> Iterator[Difference]:
    """Yield what differs: ids of inputs, the digest, totals, then single values."""
    ids, margins, live = record.inputs, found.margins, found.assessment
    yield from _compared("book_id", ids.book_id, found.book_id)
    if ids.surface_ids:
        yield from _compared("surface_ids", list(ids.surface_ids), list(found.surface_ids))
    yield from _compared("digest", record.digest, found.digest)
    yield from _compared("accounts", record.accounts, margins.positions.size)
    yield from _compared("positions", record.positions, int(margins.positions.sum()))
    total = float(margins.initial_margin_usd.sum())
    yield from _compared("initial_margin_usd", record.initial_margin_usd, total)
    yield from _compared("accounts_failed", record.accounts_failed, len(live.failures))
    yield from _compared("expired_positions", record.expired_positions, live.expired_positions)
    named = [account_failure_record(f) for f in live.failures[: len(record.failures)]]
    for before, after in zip(record.failures, named, strict=False):
        yield from _compared(
            f"failure of account {before.account_id}", _plain(before), _plain(after)
        )
    if record.kind == "book":
        scenarios = inputs.market(record).scenarios
        table = margins_to_table(margins, live.book, scenarios)
        yield from _table_differences(inputs.result(record), table)
    elif record.margin is not None and margins.positions.size:
        yield from _margin_differences(record.margin, _margin(inputs, record, found))


def _plain(failure: AccountFailureRecord) -> list[object]:
    return [getattr(failure, field.name) for field in fields(failure)]


def _margin(
    inputs: RecordedInputs, record: CalculationRecord, found: Recalculation
) -> AccountMarginRecord:
    priced, held = inputs.market(record), found.assessment.held
    return account_margin_record(
        found.margins,
        0,
        priced.market.model,
        priced.scenarios,
        account_id=record.account_id,
        member_id=held.members[0] if held.members else "",
        expired_instruments=found.assessment.expired.get(held.accounts[0], ()),
    )


def _margin_differences(
    recorded: AccountMarginRecord, found: AccountMarginRecord
) -> Iterator[Difference]:
    for field in fields(recorded):
        if field.name != "components":
            name = field.name
            yield from _compared(name, getattr(recorded, name), getattr(found, name))
    before = {c.name: c for c in recorded.components}
    after = {c.name: c for c in found.components}
    for name in dict.fromkeys([*before, *after]):
        yield from _component_differences(name, before.get(name), after.get(name))


def _component_differences(
    name: str, before: ComponentRecord | None, after: ComponentRecord | None
) -> Iterator[Difference]:
    if before is None or after is None:
        what = [None if c is None else c.amount_usd for c in (before, after)]
        yield from _compared(f"component {name}", *what)
        return
    yield from _compared(f"component {name}", before.amount_usd, after.amount_usd)
    old: dict[object, object] = {(i.name, i.of): i.value for i in before.inputs}
    new: dict[object, object] = {(i.name, i.of): i.value for i in after.inputs}
    yield from _mapping_differences(f"component {name}, ", old, new)


def _mapping_differences(
    where: str, before: Mapping[object, object], after: Mapping[object, object]
) -> Iterator[Difference]:
    for key in dict.fromkeys([*before, *after]):
        label = " of ".join(str(part) for part in key if part) if isinstance(key, tuple) else key
        yield from _compared(f"{where}{label}", before.get(key), after.get(key))


def _table_differences(recorded: pa.Table, found: pa.Table) -> Iterator[Difference]:
    """Yield the values of a book's stored result that differ, in the order of the accounts."""
    names = list(dict.fromkeys([*recorded.column_names, *found.column_names]))
    if sorted(recorded.column_names) != sorted(found.column_names):
        yield from _compared("columns", recorded.column_names, found.column_names)
        return
    if recorded.num_rows != found.num_rows or recorded.equals(found.select(recorded.column_names)):
        return
    accounts = found.column("account_id").to_pylist()
    columns = {n: (recorded.column(n).to_pylist(), found.column(n).to_pylist()) for n in names}
    for row, account in enumerate(accounts):
        for name, (before, after) in columns.items():
            yield from _compared(f"account {account}, {name}", before[row], after[row])


def _compared(where: str, recorded: object, found: object) -> Iterator[Difference]:
    if recorded == found or (_is_nan(recorded) and _is_nan(found)):
        return
    yield Difference(where, _shown(recorded), _shown(found))


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _shown(value: object) -> str:
    return "none" if value is None else repr(value) if isinstance(value, float) else str(value)


__all__ = ["Difference", "Replay", "replayed"]
