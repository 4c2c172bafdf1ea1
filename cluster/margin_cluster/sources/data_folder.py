"""Market data and books in a folder: prices/, options/, vol/, rates/ and portfolios/."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

import numpy as np

from margin_actors.arrays import DAY_MS
from margin_actors.engine.parameters import PerpetualBasisParameters, ScenarioParameters
from margin_actors.engine.scenarios import (
    PerpetualBasisHistory,
    VolatilityIndex,
    basis_from_candles,
)
from margin_actors.errors import MissingMarketData, Problem
from margin_actors.market.candles import Candles, at_grid
from margin_actors.market.tables import number_column, require_columns, time_column
from margin_cluster.sources.candle_files import (
    PriceSource,
    load_candles,
    matching_sources,
    price_sources,
)
from margin_cluster.sources.chain_files import ChainFile, chain_files
from margin_cluster.sources.files import file_sha256, read_table
from margin_cluster.sources.store import ParquetStore

_NEAREST = 5
"""Number of similar names in the message about missing prices."""


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A raw file that was an input of a calculation."""

    role: str
    """Kind of input, for example ``prices``."""
    path: str
    sha256: str


def _likeness(name: str, pattern: str) -> float:
    return SequenceMatcher(None, name, pattern.replace("*", "")).ratio()


def _nothing_on_grid(
    names: Sequence[str], underlying: str, interval_seconds: int, root: Path
) -> MissingMarketData:
    """Return the error for sources of which no candle closes on the model's grid."""
    grid = "daily grid, 00:00 UTC" if interval_seconds == DAY_MS // 1000 else "grid of the model"
    problem = Problem(
        str(root),
        f"no candle of {', '.join(names)} closes on the {grid} (every {interval_seconds:,} s)",
        "add candles that do, or change history.frequency of the model",
    )
    return MissingMarketData(f"there are no prices of {underlying}", [problem])


@dataclass(frozen=True)
class DataFolder:
    """Market data below one folder; raises MissingMarketData if there is no such folder."""

    root: Path
    store: ParquetStore | None = None
    """Where converted data are kept; None to convert on every call."""

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise MissingMarketData(
                "the data folder does not exist",
                [Problem(str(self.root), "is not a folder", "check --data or MARGIN_DATA")],
            )

    @cached_property
    def prices(self) -> list[PriceSource]:
        """All price sources of the folder."""
        return price_sources(self.root)

    @cached_property
    def chains(self) -> list[ChainFile]:
        """All option-chain files of the folder."""
        return chain_files(self.root)

    def chain_history(self, until: np.datetime64) -> list[UsedFile]:
        """Return the option-chain files with a snapshot up to `until`."""
        return [
            UsedFile("chain history", str(item.path), file_sha256(item.path))
            for item in self.chains
            if item.times[0] <= until
        ]

    def candles(
        self, patterns: Sequence[str], underlying: str, interval_seconds: int
    ) -> tuple[list[Candles], list[UsedFile]]:
        """Return the candles of the matching files at one interval, and the files.

        Sources with shorter intervals are sampled at this interval; those with longer ones are
        ignored.

        Raises
        ------
        MissingMarketData
            If no usable file matches.
        """
        candles: list[Candles] = []
        used: list[UsedFile] = []
        too_long: list[str] = []
        off_grid: list[str] = []
        for item in matching_sources(self.prices, patterns, underlying):
            loaded, hashes = load_candles(item, underlying, self.store)
            if loaded.interval_seconds > interval_seconds:
                too_long.append(f"{item.name} ({loaded.interval_seconds:,} s)")
                continue
            if loaded.interval_seconds < interval_seconds:
                at_points = at_grid(loaded, interval_seconds)
                if not len(at_points):
                    off_grid.append(item.name)
                    continue
                loaded = at_points
            candles.append(loaded)
            files = zip(item.paths, hashes, strict=True)
            used += [UsedFile("prices", str(path), sha) for path, sha in files]
        if not candles:
            if off_grid and not too_long:
                raise _nothing_on_grid(off_grid, underlying, interval_seconds, self.root)
            what, remedy = self._missing_prices(patterns, underlying, too_long, interval_seconds)
            raise MissingMarketData(
                f"there are no prices of {underlying}", [Problem(str(self.root), what, remedy)]
            )
        return candles, used

    def _missing_prices(
        self,
        patterns: Sequence[str],
        underlying: str,
        too_long: Sequence[str],
        interval_seconds: int,
    ) -> tuple[str, str]:
        """Return (description, remedy) if no source of an underlying can be used.

        `too_long` names the sources that match and whose candles are too long.
        """
        names = [item.name for item in self.prices]
        wanted = [p.replace("{u}", underlying) for p in patterns]
        shown = ", ".join(wanted)
        if too_long:
            return (
                f"the candles of {', '.join(too_long)} are longer than the model's frequency of "
                f"{interval_seconds:,} s",
                "add shorter candles, or change history.frequency of the model",
            )
        if not names:
            return (
                f"there are no price files, and the model uses {shown}",
                f"add them to {self.root / 'prices'}, or check --data",
            )
        nearest = sorted(names, key=lambda name: -max(_likeness(name, w) for w in wanted))
        return (
            f"none of the {len(names):,} price sources is named {shown}; the most similar are "
            f"{', '.join(nearest[:_NEAREST])}",
            "rename a file, or name the source in a model file: [history] sources = "
            f'["{nearest[0].replace(underlying, "{u}")}"]',
        )

    def last_close(
        self, patterns: Sequence[str], underlyings: Sequence[str], interval_seconds: int
    ) -> datetime:
        """Return the time of the last close of any source of the underlyings (UTC).

        Raises
        ------
        MissingMarketData
            If an underlying has no usable source, or no source has a close.
        """
        last: list[np.datetime64] = []
        for underlying in underlyings:
            for candles in self.candles(patterns, underlying, interval_seconds)[0]:
                known = candles.close_time[np.isfinite(candles.close)]
                known = known[~np.isnat(known)]
                if known.size:
                    last.append(known.max())
        if not last:
            problem = Problem(str(self.root), "no candle has a time and a close", "check the files")
            raise MissingMarketData("there are no prices", [problem])
        return max(last).astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC)

    def volatility_index(
        self, patterns: Sequence[str], underlying: str
    ) -> tuple[VolatilityIndex, UsedFile] | None:
        """Return the first volatility index that matches a pattern, with its file, or None.

        Values are in volatility points. A row gives the start of its day; the value is known at the
        end of that day, which is the time in the result.

        Raises
        ------
        InvalidMarketData
            If the file cannot be read or lacks a column.
        """
        folder = self.root / "vol"
        for pattern in patterns:
            for path in sorted(folder.glob(pattern.replace("{u}", underlying) + ".parquet")):
                table = read_table(path, what="volatility index")
                name = "close" if "close" in table.column_names else "dvol"
                when = "date" if "date" in table.column_names else "timestamp"
                require_columns(table, {when: "time", name: "number"}, where=str(path))
                time, value = time_column(table, when), number_column(table, name)
                good = np.flatnonzero(~np.isnat(time) & np.isfinite(value) & (value > 0))
                order = good[np.argsort(time[good], kind="stable")]
                order = order[np.append(True, np.diff(time[order].astype(np.int64)) > 0)]
                index = VolatilityIndex(
                    underlying, time[order] + np.timedelta64(DAY_MS, "ms"), value[order]
                )
                return index, UsedFile("volatility index", str(path), file_sha256(path))
        return None

    def perpetual_bases(
        self, scenarios: ScenarioParameters
    ) -> tuple[dict[str, PerpetualBasisHistory], list[UsedFile]]:
        """Return the recorded bases of perpetuals that a model uses, by underlying, and the files.

        Underlyings without prices of both are left out; there are none if the model does not move
        the basis.

        Raises
        ------
        InvalidMarketData
            If a file cannot be read, or the candles have different intervals.
        """
        out: dict[str, PerpetualBasisHistory] = {}
        used: list[UsedFile] = []
        parameters = scenarios.perpetual_basis
        for u in scenarios.underlyings if parameters.moves == "history" else ():
            found = self._perpetual_basis(parameters, u)
            if found is not None:
                out[u] = found[0]
                used += found[1]
        return out, used

    def _perpetual_basis(
        self, parameters: PerpetualBasisParameters, underlying: str
    ) -> tuple[PerpetualBasisHistory, list[UsedFile]] | None:
        """Return the recorded basis of a perpetual, with its files; None without both prices."""
        sides: list[Candles] = []
        used: list[UsedFile] = []
        for patterns in (parameters.perpetual_sources, parameters.spot_sources):
            found = matching_sources(self.prices, patterns, underlying)
            if not found:
                return None
            candles, hashes = load_candles(found[0], underlying, self.store)
            sides.append(candles)
            files = zip(found[0].paths, hashes, strict=True)
            used += [UsedFile("perpetual basis", str(path), sha) for path, sha in files]
        first = np.datetime64(parameters.first_day, "ms")
        return basis_from_candles(underlying, *sides, first=first), used

    def default_book(self) -> tuple[Path | None, Path | None]:
        """Return the paths (book, collateral), each None unless there is exactly one such file."""
        folder = self.root / "portfolios"
        books = sorted(folder.glob("book*.parquet")) if folder.is_dir() else []
        deposits = sorted(folder.glob("collateral*")) if folder.is_dir() else []
        return (
            books[0] if len(books) == 1 else None,
            deposits[0] if len(deposits) == 1 else None,
        )
