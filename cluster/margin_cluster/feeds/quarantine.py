"""Bad snapshots are kept, with the reasons, in a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from margin_actors.errors import Problem
from margin_actors.market.chain_quality import ChainFinding
from margin_cluster.atomic import write_atomically

_FINDINGS_MAX = 1_000


@dataclass(frozen=True)
class Quarantine:
    """A folder with two files per bad snapshot: its chain and the reasons.

    The files of one snapshot begin with the time at which it arrived. Beyond `kept_max` snapshots
    the oldest are removed.
    """

    folder: Path
    kept_max: int = 500

    def keep(
        self,
        source: str,
        time: datetime,
        table: pa.Table,
        problems: Sequence[Problem],
        findings: Sequence[ChainFinding] = (),
    ) -> Path:
        """Keep a chain table and why it is not used; return the path of the reasons.

        `time` is the aware time at which it arrived. Raises OSError if the folder cannot be
        written.
        """
        stem = f"{time.astimezone(UTC):%Y-%m-%dT%H%M%S.%fZ}-{source}"
        chain, reasons = self.folder / f"{stem}.parquet", self.folder / f"{stem}.json"
        text = json.dumps(
            {
                "source": source,
                "arrived": time.astimezone(UTC).isoformat(),
                "rows": table.num_rows,
                "problems": [str(problem) for problem in problems],
                "findings": [f.to_mapping() for f in findings[:_FINDINGS_MAX]],
            },
            indent=1,
        )
        if table.num_columns:
            write_atomically(chain, lambda aside: pq.write_table(table, aside, compression="zstd"))
        # Written last: a reason without its chain would not explain anything.
        write_atomically(reasons, lambda aside: aside.write_text(text + "\n", encoding="utf-8"))
        self._remove_oldest()
        return reasons

    def entries(self) -> list[Path]:
        """Return the files of reasons, oldest first."""
        return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def _remove_oldest(self) -> None:
        for reasons in self.entries()[: -self.kept_max]:
            reasons.with_suffix(".parquet").unlink(missing_ok=True)
            reasons.unlink(missing_ok=True)
