# ruff: noqa: E501  (tables with one line per column)
"""The files of a member export with the type, unit and meaning of every column.

The pages of the documentation and the tests of the files are generated from these tables. A `*` in
the name of a column stands for the parts that it names, for example an underlying.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file, or several with one meaning."""

    name: str
    """Name, or names separated by commas."""
    kind: str
    """Type: text, float, int, bool, time, or list of float."""
    unit: str
    """Unit and sign; empty if there is none."""
    meaning: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names, of which several columns with one meaning have more than one."""
        return tuple(name.strip() for name in self.name.split(","))


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One Parquet file of an export."""

    name: str
    row: str
    """What one row is."""
    columns: tuple[Column, ...]
    is_own: bool
    """True if it holds the accounts of the export; the other files are equal for all members."""

    def column(self, name: str) -> Column | None:
        """Return the description of a column of the file, or None if it is not described."""
        for item in self.columns:
            if any(fnmatchcase(name, pattern) for pattern in item.names):
                return item
        return None


def _file(name: str, row: str, columns: str, *, is_own: bool = False) -> ExportedFile:
    """Return a file from its columns, one per line: name | type | unit | meaning."""
    lines = [[cell.strip() for cell in line.split("|")] for line in columns.strip().splitlines()]
    return ExportedFile(name, row, tuple(Column(*line) for line in lines), is_own)


FILES: tuple[ExportedFile, ...] = (
    _file(
        "contracts",
        "one contract that is listed or held",
        """
        instrument_name | text | | name of the contract
        kind | text | | option, future, perpetual or spot
        underlying | text | | underlying
        expiry | time | UTC | settlement; null for perpetuals and spot
        is_inverse | bool | | true if profits are paid in the coin; one unit of an inverse future or perpetual is one US dollar of notional, one unit of any other contract one coin
        strike_usd | float | USD per coin | strike; null except for options
        is_call | bool | | null except for options
        index_usd | float | USD per coin | S, index of the underlying, (1)
        forward_usd | float | USD per coin | F, (1); the price of the perpetual for perpetuals, the index for spot
        tenor_years | float | years of 365 days | T; 0 for perpetuals and spot
        discount | float | | D, (22), at the rates of the model; null for inverse contracts, perpetuals and spot
        mark_vol_annual | float | per year, fraction | volatility of the mark; null without one
        deviation | float | | s today, (19): sigma times the square root of T; null except for options
        anchor_* | float | | A, (17), for the smile model that the name ends with; null except for options
        lot | float | units | L, (26); 1 if the model does not round
        value_usd | float | USD per unit, long + | V today, (20) to (24), before daily settlement
        settled_value_usd | float | USD per unit, long + | value that counts in (25): 0 for futures and perpetuals
        tier | text | | expiry bucket
        strike_name | text | | name of the strike, shared by its calls and puts; null except for options
        strike_open_interest_coins | float | coins | open interest of calls and puts at the strike
        open_interest_coins | float | coins | open interest of the option, with that of the put or call of the same strike if `addons.close_out.parity` is true; null if unknown
        delta_coins | float | coins per unit, long + | (42)
        vega_usd | float | USD per 1.00 of volatility and unit | (42)
        bid, ask | float | coins per coin if inverse, else USD | quotes of the option; null without one
        half_spread_usd | float | USD per unit | half spread of (46), bounded by put-call parity and 0 for settled options if `addons.close_out` demands it
        expires_within_horizon | bool | | true for an option that expires within the margin period of risk
        """,
    ),
    _file(
        "smiles",
        "the smile of one expiry under one smile model",
        """
        smile | text | | svi or sabr
        surface_id | text | | content id of the surface
        underlying | text | | underlying
        expiry | time | UTC | settlement
        forward_usd | float | USD per coin | F, (1)
        tenor_years | float | years of 365 days | T
        discount | float | | D, which multiplies linear options, (22)
        a, b | float | total variance; per unit of log-moneyness | SVI, (16); null for SABR
        rho | float | | SVI or SABR, (16)
        m | float | log-moneyness | SVI, (16); null for SABR
        sigma | float | log-moneyness | SVI, (16); null for SABR
        alpha | float | per year, fraction | SABR with the forward scaled to 1, (16); null for SVI
        beta | float | | SABR; null for SVI
        nu | float | per year, fraction | SABR; null for SVI
        at_money_deviation | float | | s_0 of (15): square root of the total variance at the money
        is_arbitrage_free | bool | | true if the checks of the fit found neither butterfly nor calendar arbitrage
        """,
    ),
    _file(
        "scenarios",
        "one row of the scenario set, as used: after the repair (14)",
        """
        scenario | int | from 0 | row
        section | text | | core, long, stress_period, stress or extended
        window_start, window_end | time | UTC | window; null for rows without one
        weight | float | | weight within the section, (8)
        loss_share | float | | share of the loss that counts, 1 except in extended rows; exists only if the set has it
        name | text | | name of the row; exists only if the set has names
        *.spot_return | float | log return, rise + | r of the underlying, (2), (6), (7)
        *.path_return.*h | float | log return, rise + | return of the underlying so many hours after the start of the window
        *.basis_change.*d | float | change of a logarithm, rise + | (3) at the tenor in days; exists only if the set moves volatilities
        *.vol_change.*d.z* | float | change of a logarithm, rise + | (4) at the tenor in days and the moneyness node, after the repair
        *.provenance | text | | source of the volatility moves
        *.perpetual_basis_change | float | change of a logarithm, rise + | move of the perpetual relative to the index; exists only if the set has it
        *.perpetual_basis_provenance | text | | source of this move: none, observed, proxied_by_spot or made
        *.repair | text | | none, half, level or left: result of the check of the row for the underlying
        """,
    ),
    _file(
        "repairs",
        "one expiry that admitted arbitrage in one row before the repair",
        """
        scenario | int | from 0 | row of scenarios
        underlying | text | | underlying
        expiry | time | UTC | expiry of the smile
        butterfly | bool | | true if call prices were not decreasing and convex in strike
        calendar | bool | | true if total variance fell from the previous expiry to this one
        repair | text | | as in scenarios
        """,
    ),
    _file(
        "depth",
        "one expiry bucket of one underlying; only if the model needs market depth",
        """
        underlying | text | | underlying
        tier | text | | expiry bucket
        days_over, days_up_to | float | days | the bucket holds expiries over the first and up to the second; null for outrights and for the open end
        delta_volume_coins | float | coins per day | delta of the options traded, (43): of the snapshot, or calibrated from recorded days
        vega_volume_usd | float | USD per 1.00 of volatility and day | vega of the options traded, at least the floor, (43): as above
        delta_closed_per_day_coins | float | coins per day | denominator of days to close delta, (44)
        vega_closed_per_day_usd | float | USD per 1.00 of volatility and day | denominator of days to close vega, (44)
        half_spread_vol | float | volatility, fraction | median half spread of the options of the bucket, (46)
        typical_vol | float | per year, fraction | mean mark volatility of the bucket, weighted by vega, for hedges; null without options
        """,
    ),
    _file(
        "positions",
        "one position",
        """
        account_id | text | | account
        member_id | text | | clearing member
        instrument_name | text | | name of the contract
        quantity | float | units, long + | q
        lots | float | lots, long + | q/L, a whole number if the model rounds
        size | float | units, at least 0 | the larger of the absolute q and the absolute net quantity of the member; exists only if the model measures size by member
        strike_size_coins | float | coins, at least 0 | the larger of the gross quantities of the account and of the member at the strike of the option; exists like `size`; null except for options
        """,
        is_own=True,
    ),
    _file(
        "member_sizes",
        "one expiry bucket that an account holds or that is next to one; only if the model measures size by member",
        """
        account_id | text | | account
        underlying | text | | underlying
        tier | text | | expiry bucket
        delta_coins | float | coins, long + | net delta of all accounts of the account's member
        vega_usd | float | USD per 1.00 of volatility, long + | net vega of all accounts of the account's member
        """,
        is_own=True,
    ),
    _file(
        "components",
        "one component of the requirement of one account, in the order of the calculation",
        """
        account_id | text | | account
        component | text | | name of the component
        amount_usd | float | USD, at least 0 | amount; the requirement is the sum
        """,
        is_own=True,
    ),
    _file(
        "measures",
        "one account",
        """
        account_id | text | | account
        member_id | text | | clearing member
        positions | int | | number of positions
        value_usd | float | USD, long + | (25)
        var_usd, es_usd | float | USD, loss + | (27) to (30), core rows
        worst_usd | float | USD, loss + | (33)
        worst_scenario | int | from 0 | row of that loss
        undiversified_usd | float | USD, loss + | (36); null if not measured
        long_usd, stress_period_usd | float | USD, loss + | R_long and R_stress of (41); null if not measured
        stress_usd | float | USD, at least 0 | largest loss in the stress rows; null if not measured
        initial_margin_usd | float | USD, at least 0 | (49)
        loss_max_usd | float | USD, at least 0 | largest possible loss, which bounds the requirement; null without a bound; exists only if the model has the bound
        binding | text | | the component that determines the requirement before add-ons
        rounding_bound_usd | float | USD, at least 0 | (26)
        """,
        is_own=True,
    ),
    _file(
        "figures",
        "one figure from which a component was computed",
        """
        account_id | text | | account
        component | text | | name of the component
        label | text | | bucket, strike, underlying or alternative; empty for the account
        figure | text | | name; its end is the unit
        value | float | unit of the figure | value
        """,
        is_own=True,
    ),
    _file(
        "profits",
        "the profits of one account, or of one of its position groups, or under one alternative",
        """
        account_id | text | | account
        kind | text | | account, underlying, bucket, strike or alternative
        label | text | | name of the underlying, bucket, strike or alternative; empty for the account
        pnl_usd | list of float | USD, profit + | one number per row of scenarios for the account, per core row otherwise
        """,
        is_own=True,
    ),
)
"""The Parquet files of an export, in the order of the documentation."""


def reference_page() -> str:
    """Return the description of all files and columns as Markdown."""
    lines: list[str] = []
    for item in FILES:
        lines += [f"### {item.name}.parquet\n", f"One row is {item.row}.\n"]
        lines += ["| column | type | unit, sign | meaning |", "|---|---|---|---|"]
        for c in item.columns:
            names = ", ".join(f"`{name}`" for name in c.names)
            lines.append(f"| {names} | {c.kind} | {c.unit} | {c.meaning} |")
        lines.append("")
    return "\n".join(lines)
