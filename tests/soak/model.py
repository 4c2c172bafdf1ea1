"""The simple model beside the service: what every acknowledged change must have led to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from soak.engine import Engine, is_expired, is_whole_lots
from soak.market import MarketSpec

from margin_actors.engine.scenarios import ScenarioSet
from margin_actors.errors import MarginError
from margin_actors.market.instruments import instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot

QUANTITY_MAX = 1e12
_EXACT_BELOW = Decimal(10**6)
_LARGE = 1e8
_BILLIONTH = Decimal("1e-9")
Row = tuple[str, str, str, float]
"""Account, member (may be empty), instrument, quantity."""
Positions = dict[str, tuple[str, dict[str, float]]]


@dataclass(frozen=True)
class Used:
    """What a key was used for."""

    content: object
    version: int


@dataclass
class Model:
    """Positions, versions, the market in use and the keys used, as acknowledged."""

    engine: Engine
    snapshots: dict[str, MarketSnapshot]
    scenario_sets: dict[str, ScenarioSet]
    snapshot_id: str
    scenarios_id: str
    positions: Positions = field(default_factory=dict)
    history: dict[int, Positions] = field(default_factory=dict)
    """Positions of all accounts by version; only the latest versions are kept."""
    version: int = 0
    generation: int = 0
    latest: MarketSpec = field(default_factory=MarketSpec)
    """The specification with the latest time published so far."""
    trade_keys: dict[str, Used] = field(default_factory=dict)
    upload_keys: dict[str, Used] = field(default_factory=dict)
    publish_keys: dict[str, Used] = field(default_factory=dict)
    activate_keys: dict[str, Used] = field(default_factory=dict)

    @property
    def snapshot(self) -> MarketSnapshot:
        return self.snapshots[self.snapshot_id]

    @property
    def scenarios(self) -> ScenarioSet:
        return self.scenario_sets[self.scenarios_id]

    def keep(self) -> None:
        """Keep the positions under their version."""
        self.history[self.version] = self.positions
        for version in [v for v in self.history if v < self.version - 2_000]:
            del self.history[version]

    # -- trades --------------------------------------------------------------------------------

    def apply(self, rows: Iterable[Row], version: int) -> None:
        """Take in acknowledged trades."""
        positions = dict(self.positions)
        for account, member, name, quantity in rows:
            known, held = positions.get(account, (member, {}))
            held = dict(held)
            total = exact_sum(held.get(name, 0.0), quantity)
            if total == 0.0:
                held.pop(name, None)
            else:
                held[name] = total
            positions[account] = (known, held)
        self.positions, self.version = positions, version
        self.keep()

    def replace(self, positions: Positions, version: int) -> None:
        """Take in an acknowledged upload."""
        self.positions, self.version = positions, version
        self.keep()

    def judge_trades(self, rows: list[Row]) -> tuple[bool | None, str]:
        """Return whether the contract accepts trades (None: not determined), and why not.

        The rows are well formed; only members, instruments, lots and sums are judged.
        """
        verdict: bool | None = True
        members = {a: m for a, (m, _) in self.positions.items()}
        after: dict[tuple[str, str], Decimal] = {}
        for account, member, name, quantity in rows:
            known = members.setdefault(account, member)
            if not known:
                return False, f"account {account} is new and has no member"
            if member and member != known:
                return False, f"account {account} is of member {known}"
            before = self.positions.get(account, ("", {}))[1].get(name, 0.0)
            key = (account, name)
            after[key] = after.get(key, Decimal(repr(before))) + Decimal(repr(quantity))
        for (account, name), total in after.items():
            before = Decimal(repr(self.positions.get(account, ("", {}))[1].get(name, 0.0)))
            accepted, why = self._judge_position(name, before, total)
            if accepted is False:
                return False, why
            verdict = None if accepted is None else verdict
        for account in {account for account, _ in after}:
            held = dict(self.positions.get(account, ("", {}))[1])
            held |= {name: float(total) for (a, name), total in after.items() if a == account}
            verdict = None if self._is_too_large(held) else verdict
        return verdict, ""

    def _is_too_large(self, held: Mapping[str, float]) -> bool:
        """Return whether the engine refuses an account although it can price every position.

        The contract leaves open whether such an account may come about.
        """
        if all(abs(quantity) < _LARGE for quantity in held.values()):
            return False
        known = {n: q for n, q in held.items() if q and not self.engine.fault(self.snapshot, n)}
        found = self.engine.account(self.snapshot, self.scenarios, "x", "", known)
        return isinstance(found, MarginError)

    def _judge_position(
        self, name: str, before: Decimal, after: Decimal
    ) -> tuple[bool | None, str]:
        try:
            instrument_from_name(name)
        except ValueError as error:
            return False, str(error)
        is_whole = is_whole_lots(name, float(after))
        reduces = abs(after) <= abs(before) and before * after >= 0
        if reduces:
            return (True, "") if is_whole else (None, "")
        if abs(after) > Decimal(QUANTITY_MAX):
            return False, f"{after} of {name} is beyond the limit"
        if is_expired(name, self.snapshot):
            return False, f"{name} has expired"
        fault = self.engine.fault(self.snapshot, name)
        if fault:
            return False, f"{name} cannot be priced: {fault}"
        if is_whole is False:
            return False, f"{after} of {name} is not a whole number of lots"
        return is_whole, ""

    # -- uploads -------------------------------------------------------------------------------

    def judge_upload(
        self, positions: Mapping[str, tuple[str, Mapping[str, float]]]
    ) -> tuple[bool | None, str]:
        """Return whether the contract accepts an upload (None: not determined), and why not."""
        why = self._upload_fault(positions)
        if why:
            return False, why
        too_large = any(self._is_too_large(held) for _, held in positions.values())
        return (None if too_large else True), ""

    def _upload_fault(self, positions: Mapping[str, tuple[str, Mapping[str, float]]]) -> str:
        for _, held in positions.values():
            for name, quantity in held.items():
                if abs(quantity) > QUANTITY_MAX:
                    return f"{quantity} of {name} is beyond the limit"
                try:
                    instrument_from_name(name)
                except ValueError as error:
                    return str(error)
                if is_expired(name, self.snapshot):
                    continue
                if self.engine.fault(self.snapshot, name):
                    return f"{name} cannot be priced"
                if is_whole_lots(name, quantity) is False:
                    return f"{quantity} of {name} is not a whole number of lots"
        return ""

    # -- the market ----------------------------------------------------------------------------

    def publish(self, snapshot: MarketSnapshot, number: int) -> None:
        self.snapshots[snapshot.id] = snapshot
        self.snapshot_id, self.generation = snapshot.id, number

    def activate(self, scenarios_id: str, number: int) -> None:
        self.scenarios_id, self.generation = scenarios_id, number


def exact_sum(held: float, quantity: float) -> float:
    """Return a position after a trade, rounded to a billionth.

    The exact decimal sum decides; beyond a million, where doubles are coarser than a billionth,
    the sum of the doubles does.
    """
    total = Decimal(repr(held)) + Decimal(repr(quantity))
    if abs(total) < _EXACT_BELOW:
        return float(total.quantize(_BILLIONTH))
    return round(held + quantity, 9)
