"""Resources of a clearing account in US cents, and the amount that can be withdrawn.

    resources = collateral after haircut + net option value + unsettled variation,
    excess    = resources - requirement.

Haircuts, de-peg scenarios and simulated deposits are those of the margin calculation
(`margin_actors.engine.margin.collateral`), here with exact numbers:

    counted share of a deposit = 1 - max(haircut, de-peg share),
    option value not counted   = de-peg share * max(0, value of options settled in the asset).

What the account owes in an asset counts in full. Each component is rounded down to a cent, so that
the components sum to the total. Unsettled profit counts towards resources but cannot be withdrawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Context, Decimal

from margin_actors.clearing.amounts import USD, Asset, value_of
from margin_actors.engine.margin.collateral import USD_ASSETS
from margin_actors.engine.parameters import ModelParameters
from margin_actors.errors import MissingMarketData, Problem, raise_if_any

_EXACT = Context(prec=100)
_ONE = Decimal(1)
_LARGE = Decimal(10**18)
_OTHERS = "*"


@dataclass(frozen=True)
class CollateralRules:
    """What of an asset counts as collateral; shares between 0 and 1."""

    haircuts: Mapping[str, Decimal]
    """Share of the value that is not counted by asset; ``*`` applies to all other assets, which
    otherwise do not count at all."""
    depeg: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Share of its value that a stablecoin loses in its de-peg scenario, by asset."""
    simulated: frozenset[str] = frozenset()
    """Coins that the requirement simulates with the account: they count without a haircut."""
    simulated_lot: Decimal | None = None
    """Only whole lots of this many coins are simulated; None: the whole deposit."""

    def share_not_counted(self, asset: str) -> Decimal:
        """Return the larger of haircut and de-peg share of an asset."""
        haircut = self.haircuts.get(asset, self.haircuts.get(_OTHERS, _ONE))
        return max(haircut, self.depeg.get(asset, Decimal(0)))


def collateral_rules(model: ModelParameters) -> CollateralRules:
    """Return the rules of a model; its shares are read as the decimals in which they are written.

    Parameters
    ----------
    model : ModelParameters
        Haircuts and de-peg shares as fractions.
    """
    section = model.collateral
    rounds = model.revaluation.pnl_quantum_usd is not None
    coins = set(model.scenarios.underlyings) - set(USD_ASSETS)
    return CollateralRules(
        {asset: Decimal(repr(share)) for asset, share in section.haircuts.items()},
        {asset: Decimal(repr(share)) for asset, share in section.depeg.items()},
        frozenset(coins) if section.joint_simulation else frozenset(),
        Decimal(repr(model.revaluation.lot_coins)) if rounds else None,
    )


@dataclass(frozen=True)
class Valuation:
    """Prices and values with which resources are computed; exact numbers."""

    rules: CollateralRules
    prices_usd: Mapping[str, Decimal]
    """US dollars per coin by asset; USD, USDC and USDT are worth one US dollar."""
    option_value_usd: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    """Net value of options and spot positions by settlement asset, US dollars, long positive;
    without spot positions that stand for simulated deposits."""
    unsettled_usd: Decimal = Decimal(0)
    """Variation since the last settlement price, US dollars, a profit positive."""

    def __post_init__(self) -> None:
        named = [
            *((f"price of {asset}", value) for asset, value in self.prices_usd.items()),
            *((f"option value in {asset}", v) for asset, v in self.option_value_usd.items()),
            ("unsettled variation", self.unsettled_usd),
        ]
        problems = [
            Problem(name, f"{value} is not a finite number below 10^18")
            for name, value in named
            if not value.is_finite() or abs(value) >= _LARGE
        ]
        problems += [
            Problem(f"price of {asset}", f"{price} is not positive")
            for asset, price in self.prices_usd.items()
            if price.is_finite() and price <= 0
        ]
        raise_if_any(problems, MissingMarketData, "the resources cannot be valued")


@dataclass(frozen=True)
class AssetValue:
    """What an account holds or owes of one asset, and what of it counts; US cents."""

    asset: Asset
    units: int
    """Units of the asset; negative if owed."""
    market_cents: int
    """Value before the haircut, rounded down."""
    counted_cents: int
    """Value that counts towards resources, rounded down."""


@dataclass(frozen=True)
class Resources:
    """Resources of a clearing account, US cents; each component is rounded down."""

    collateral: tuple[AssetValue, ...]
    """Ordered by asset."""
    option_cents: int
    """Net option value less what the de-peg scenarios take from it."""
    unsettled_cents: int
    """Unsettled variation, a profit positive."""

    @property
    def total_cents(self) -> int:
        """The sum of all components."""
        counted = sum(value.counted_cents for value in self.collateral)
        return counted + self.option_cents + self.unsettled_cents

    @property
    def settled_cents(self) -> int:
        """The resources that can support a withdrawal: an unsettled loss counts, a profit not."""
        return self.total_cents - max(self.unsettled_cents, 0)

    def excess_cents(self, requirement_cents: int) -> int:
        """Return resources less requirement, US cents; negative for a deficit."""
        return self.total_cents - requirement_cents


def resources(holdings: Mapping[Asset, int], valuation: Valuation) -> Resources:
    """Return the resources of a clearing account.

    Parameters
    ----------
    holdings : mapping of Asset to int
        Units held, negative if owed; see `state.holdings`.
    valuation : Valuation

    Raises
    ------
    MissingMarketData
        If an asset has no price.
    """
    values = tuple(
        AssetValue(
            asset,
            units,
            _cents(_worth(asset, units, valuation)),
            _counted_cents(asset, units, valuation),
        )
        for asset, units in sorted(holdings.items())
    )
    return Resources(values, _option_cents(valuation), _cents(valuation.unsettled_usd))


def withdrawable_units(
    holdings: Mapping[Asset, int], asset: Asset, valuation: Valuation, *, needed_cents: int
) -> int:
    """Return the largest number of units of an asset that an account can withdraw.

    Parameters
    ----------
    holdings : mapping of Asset to int
        As in `resources`.
    asset : Asset
        The asset to withdraw.
    valuation : Valuation
    needed_cents : int
        What must remain covered, US cents: the requirement and all reserved margin.

    Returns
    -------
    int
        At least 0 and at most the units held. 0 if the resources without unsettled profit do not
        cover what is needed, also for an asset that does not count.

    Raises
    ------
    MissingMarketData
        If an asset has no price.
    """
    held = holdings.get(asset, 0)
    now = resources(holdings, valuation).settled_cents
    if held <= 0 or now < needed_cents:
        return 0
    counted = _counted_cents(asset, held, valuation)
    low, high = 0, held
    while low < high:  # the counted value does not fall with the units that remain
        remaining = (low + high) // 2
        if now - counted + _counted_cents(asset, remaining, valuation) >= needed_cents:
            high = remaining
        else:
            low = remaining + 1
    return held - low


def _worth(asset: Asset, units: int, valuation: Valuation) -> Decimal:
    """Return the market value in US dollars."""
    price = _ONE if asset.name in USD_ASSETS else valuation.prices_usd.get(asset.name)
    if price is None:
        problem = Problem(asset.name, "it has no price", "load a market with its index price")
        raise MissingMarketData("the collateral cannot be valued", [problem])
    return _EXACT.multiply(value_of(units, asset), price)


def _counted_cents(asset: Asset, units: int, valuation: Valuation) -> int:
    """Return the value after haircut in US cents, rounded down; what is owed counts in full."""
    worth, rules = _worth(asset, units, valuation), valuation.rules
    if units <= 0:
        return _cents(worth)
    simulated = 0
    if asset.name in rules.simulated:
        simulated = units
        if rules.simulated_lot is not None:
            whole = _EXACT.divide_int(value_of(units, asset), rules.simulated_lot)
            coins = _EXACT.multiply(whole, rules.simulated_lot)
            simulated = int(coins.scaleb(asset.decimals, _EXACT))
    cut = _EXACT.multiply(
        rules.share_not_counted(asset.name), _worth(asset, units - simulated, valuation)
    )
    return _cents(_EXACT.subtract(worth, cut))


def _option_cents(valuation: Valuation) -> int:
    """Return the net option value after the de-peg scenarios in US cents, rounded down."""
    total = Decimal(0)
    for asset, value in valuation.option_value_usd.items():
        share = valuation.rules.depeg.get(asset, Decimal(0)) if value > 0 else Decimal(0)
        total = _EXACT.add(total, _EXACT.multiply(value, _EXACT.subtract(_ONE, share)))
    return _cents(total)


def _cents(value_usd: Decimal) -> int:
    whole = value_usd.scaleb(USD.decimals, _EXACT)
    return int(whole.to_integral_value(ROUND_FLOOR, _EXACT))
