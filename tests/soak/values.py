"""Hypothesis strategies: which accounts, instruments, quantities and ids the calls carry.

Places are drawn as integers and taken modulo what there is, so that the choices do not depend on
what the service has answered.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from margin_protos.v1 import margin_types_pb2 as types_pb
from soak.market import N_ACCOUNTS

from margin_actors.market.instruments import Kind, expiry_label, instrument_from_name
from margin_actors.market.snapshots import MarketSnapshot

PLACES = st.integers(0, 9_999)
GATEWAYS = st.integers(0, 1)
NEW_ACCOUNTS = tuple(f"N{i}" for i in range(6))
ACCOUNTS = st.sampled_from([f"A{i:02d}" for i in range(N_ACCOUNTS)] + list(NEW_ACCOUNTS))
STRANGE_TEXTS = (
    "",
    " ",
    "x" * 129,
    "x" * 100_000,
    "line\nbreak",
    "\x00",
    "../../etc/passwd",
    "'; DROP TABLE positions; --",
    "Zürich 🎲",
    "a00",
)
STRANGE_INSTRUMENTS = (
    "",
    "BTC",
    "FOO-PERPETUAL",
    "BTC-31FEB26-50000-C",
    "BTC-7JAN20-50000-C",
    "BTC-7JAN20",
    "BTC-27DEC30-50000-C",
    "BTC-27DEC30",
    "btc-perpetual",
    "BTC-PERPETUAL ",
    "BTC_USDT-PERPETUAL-X",
    "BTC-7JAN25-0-C",
    "BTC-7JAN25-99999999999999999999-P",
    "SOL_USDC",
    "x" * 2_000,
)
"""None of these can be a new position on any snapshot of the run."""
STRANGE_QUANTITIES = (
    float("nan"),
    float("inf"),
    float("-inf"),
    0.0,
    -0.0,
    5e-324,
    -2.2e-308,
    1e-9,
    0.005,
    3.0000001,
    1e12 + 10,
    -1e12 - 10,
    1e13,
    1e300,
    1.7976931348623157e308,
)
LARGE_QUANTITIES = (1e12, -1e12, 5e11, -5e11, 999_999_999_990.0, 1e9, -1e9)
REQUEST_IDS = st.sampled_from(["", "", "", "reused", "reused", "also-reused", "a b", "\u00e9"[:0]])


@dataclass(frozen=True)
class Leg:
    """One trade as drawn."""

    account: str
    instrument: int
    lots: int
    scale: int
    large: float
    """0 for `lots`."""


LEGS = st.builds(
    Leg,
    ACCOUNTS,
    PLACES,
    st.integers(-500, 500).filter(bool),
    st.sampled_from([1, 1, 10, 100, 10_000]),
    st.sampled_from([0.0] * 12 + [1.0]).flatmap(
        lambda x: st.just(0.0) if x == 0.0 else st.sampled_from(LARGE_QUANTITIES)
    ),
)


def instruments_of(snapshot: MarketSnapshot) -> list[str]:
    """Return names that a snapshot can price, futures and spot included."""
    names = sorted(snapshot.options.names)
    names += [f"{e.underlying}-{expiry_label(e.expiry)}" for e in snapshot.expiries]
    for u in sorted(snapshot.index_usd):
        names += [f"{u}-PERPETUAL", f"{u}_USDC-PERPETUAL", f"{u}_USDC"] * 4
    return names


def lot_of(name: str) -> float:
    item = instrument_from_name(name)
    in_usd = item.is_inverse and item.kind in (Kind.FUTURE, Kind.PERPETUAL)
    return 10.0 if in_usd else 0.01


def quantity_of(leg: Leg, name: str) -> float:
    if leg.large:
        return leg.large
    return round(leg.lots * leg.scale * lot_of(name), 2)


def name_of(leg: Leg, snapshot: MarketSnapshot) -> str:
    names = instruments_of(snapshot)
    return names[leg.instrument % len(names)]


def positions_proto(held: dict[str, float]) -> list[types_pb.Position]:
    return [types_pb.Position(instrument_name=n, quantity=q) for n, q in held.items()]


def portfolio_of(legs: list[Leg], snapshot: MarketSnapshot) -> dict[str, float]:
    """Return a portfolio without repeated names."""
    return {(name := name_of(leg, snapshot)): quantity_of(leg, name) for leg in legs}
