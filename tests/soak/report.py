"""What runs found, as benchmarks/SOAK.md."""

import json
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from soak.record import Record, Sample


def processor() -> str:
    """Return the processor's name and how many of them there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


def summary_of(record: Record, *, database: str, seed: int, gateways: int) -> dict[str, Any]:
    """Return the numbers of one run as plain values."""
    return {
        "database": database,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": processor(),
        "seed": seed,
        "gateways": gateways,
        "seconds": record.seconds,
        "steps": record.steps,
        "calls": [[method, code, n] for (method, code), n in sorted(record.calls.items())],
        "events": dict(sorted(record.events.items())),
        "recoveries": {
            kind: [len(values), median(values), max(values)]
            for kind, values in sorted(record.recoveries.items())
        },
        "latencies": {
            kind: [record.counted[kind], median(values), record.slowest[kind]]
            for kind, values in sorted(record.latencies.items())
        },
        "memory": memory_of(record.samples),
        "violations": dict(record.violations.most_common()),
    }


def memory_of(samples: list[Sample]) -> list[dict[str, float]]:
    """Return memory and descriptors of each gateway process that lived longest, first and last."""
    by_process: dict[int, list[Sample]] = {}
    for sample in samples:
        by_process.setdefault(sample.process, []).append(sample)
    lives = sorted(by_process.values(), key=lambda s: s[0].seconds - s[-1].seconds)
    return [
        {
            "from": life[0].seconds,
            "to": life[-1].seconds,
            "rss_first": life[0].rss_mib,
            "rss_last": life[-1].rss_mib,
            "rss_max": max(s.rss_mib for s in life),
            "descriptors_first": life[0].descriptors,
            "descriptors_last": life[-1].descriptors,
        }
        for life in lives[:3]
    ]


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    if not rows:
        return []
    ruler = "|".join(["---", *["---:"] * (len(head) - 1)])
    lines = [f"| {' | '.join(head)} |", f"|{ruler}|"]
    return [*lines, *(f"| {' | '.join(str(x) for x in row)} |" for row in rows), ""]


def page(runs: list[dict[str, Any]]) -> str:
    """Return the page of some runs."""
    lines = [
        "# Soak test",
        "",
        "A hypothesis state machine drives every method of the contract against running",
        "gateways, with a model of the expected state beside it (`tests/soak`, `make soak`).",
        "Requests are valid, borderline and invalid; calls are cancelled, cut off by deadlines",
        "and disconnected; processes are killed and restarted; snapshots are published and",
        "positions expire. After every step the service must agree with the model and, to the",
        "bit, with the engine.",
        "",
    ]
    for run in runs:
        lines += _run(run)
    return "\n".join(lines).rstrip() + "\n"


def _run(run: dict[str, Any]) -> list[str]:
    count = sum(n for _, _, n in run["calls"])
    lines = [
        f"## {run['database']}",
        "",
        f"{run['date']}, {run['processor']}, {run['gateways'] or 1} gateways, seed {run['seed']}: "
        f"{run['seconds']:,.0f} s, {run['steps']:,} steps, {count:,} calls, "
        f"**{sum(run['violations'].values())} violations**.",
        "",
    ]
    if run["violations"]:
        lines += _table(("violation", "count"), list(run["violations"].items()))
    by_method: dict[str, Counter[str]] = {}
    for method, code, n in run["calls"]:
        by_method.setdefault(method, Counter())[code] = n
    rows = [
        (method, f"{sum(codes.values()):,}", ", ".join(f"{c} {n:,}" for c, n in codes.items()))
        for method, codes in by_method.items()
    ]
    lines += _table(("method", "calls", "by status"), rows)
    lines += _table(("disturbance", "count"), [(k, f"{n:,}") for k, n in run["events"].items()])
    lines += _table(
        ("seconds until every gateway returns the right book after", "count", "median", "longest"),
        [(k, n, f"{m:.1f}", f"{x:.1f}") for k, (n, m, x) in run["recoveries"].items()],
    )
    lines += _table(
        ("ordinary calls by kind and status", "count", "median ms", "longest ms"),
        [
            (k, f"{n:,}", f"{1000 * m:.1f}", f"{1000 * x:.0f}")
            for k, (n, m, x) in run["latencies"].items()
            if n >= 10
        ],
    )
    names = ("rss_first", "rss_last", "rss_max", "descriptors_first", "descriptors_last")
    lines += _table(
        ("gateway process (s of the run)", *(n.replace("_", " ") for n in names)),
        [
            (f"{m['from']:.0f} to {m['to']:.0f}", *(f"{m[n]:.0f}" for n in names))
            for m in run["memory"]
        ],
    )
    return lines


def write(folder: Path, summary: dict[str, Any]) -> None:
    """Keep the numbers of one run beside its record."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
