"""A risk officer's page with any number of accounts, as a service would fill it."""

from datetime import UTC, datetime, timedelta

import numpy as np
from margin_cluster.report import (
    AccountDetails,
    OfficerPage,
    OfficerWarning,
    PreviousAmounts,
    ReportIdentity,
    ReportOrigin,
    Resources,
)
from margin_cluster.sources import UsedFile

NOW = datetime(2026, 5, 15, 8, tzinfo=UTC)
COMPONENTS = (
    "core", "diversification_cap", "buffer", "extended_moves", "concentration", "liquidity",
    "wrong_way", "model_risk",
)  # fmt: skip


def identity(*, is_synthetic: bool = True) -> ReportIdentity:
    return ReportIdentity(
        valuation=f"{NOW:%Y-%m-%d %H:%M:%S} UTC",
        origin=ReportOrigin("margin run --out results --previous before", NOW),
        models=(("ccp-default 2", "model-0123456789abcdef"),),
        inputs=(("snapshot", "snapshot-00112233"), ("generation", "17")),
        files=(UsedFile("book", "book.csv", "ab" * 32), UsedFile("prices", "p.csv", "cd" * 32)),
        is_synthetic=is_synthetic,
    )


def risks_of(requirement: float) -> tuple[tuple[int, float, float], ...]:
    return tuple((7 * k, k - 2.5, requirement / (k + 3)) for k in range(5))


def officer_page(
    n: int, *, seed: int = 5, resources: bool = True, previous: bool = True, calls: bool = False
) -> OfficerPage:
    """A page of `n` accounts: a fifth of them short, half of these since before yesterday."""
    rng = np.random.default_rng(seed)
    n_worst = 3 if n <= 2000 else 1
    requirement = np.round(rng.lognormal(14.0, 1.6, n), 2)
    shares = rng.dirichlet([8.0, 0.3, 2.0, 0.5, 2.0, 1.0, 0.2, 0.5], n)
    parts = shares * requirement[:, None]
    value = rng.normal(0.0, 0.3, n) * requirement
    total = requirement * np.where(rng.random(n) < 0.2, rng.uniform(0.5, 0.95, n),
                                   rng.uniform(1.05, 3.0, n))  # fmt: skip
    yesterday = NOW - timedelta(days=1)
    short = total < requirement
    members = tuple(f"M{m:03d}" for m in rng.integers(0, max(2, min(60, n // 5)), n))
    before = requirement * rng.lognormal(0.0, 0.1, n)
    before[-1] = np.nan
    since = [
        None if not s else NOW if k % 2 else yesterday - timedelta(days=k % 7)
        for k, s in enumerate(short.tolist())
    ]
    binding = tuple(COMPONENTS[3 * int(part > 0.2)] for part in shares[:, 3])
    known = np.nan_to_num(before)
    per_member: dict[str, float] = {}
    for member, amount in zip(members, known.tolist(), strict=True):
        per_member[member] = per_member.get(member, 0.0) + amount
    return OfficerPage(
        identity=identity(),
        title="Initial margin",
        age="market data 12 s old",
        model="ccp-default 2, expected shortfall at 99.5 % over 48 h",
        accounts=tuple(f"M{k % 60:03d}-C{k:05d}" for k in range(n)),
        members=members,
        requirement_usd=requirement,
        components=COMPONENTS,
        components_usd=parts,
        binding=binding,
        dominant=tuple("concentration" if s > 0.5 else "" for s in shares[:, 4]),
        details=AccountDetails(
            figures={
                "VaR": 0.8 * requirement,
                "expected shortfall": 0.9 * requirement,
                "worst loss": 1.3 * requirement,
                "stress loss": 1.7 * requirement,
                "positions": rng.integers(1, 400, n).astype(np.float64),
            },
            scenario_names=tuple(f"day {s}" for s in range(250)),
            worst_scenario=rng.integers(0, 250, (n, n_worst)),
            worst_loss_usd=requirement[:, None] * np.array([1.2, 1.1, 1.0])[:n_worst],
            instruments=tuple(f"BTC-26JUN26-{k}000-C" for k in range(40, 140)),
            risks={a: risks_of(requirement[a]) for a in range(min(n, 300))},
        ),
        resources=Resources(
            collateral_usd=total - value,
            option_value_usd=value,
            total_usd=total,
            short_since=tuple(since),
            calls=tuple("issued" if s else "" for s in short) if calls else None,
        )
        if resources
        else None,
        previous=PreviousAmounts(
            time=yesterday,
            title="ccp-default 2, yesterday",
            requirement_usd=before,
            deficit_usd=np.where(np.isnan(before), np.nan, np.maximum(before - total, 0.0)),
            components_usd={
                name: float(parts[:, k].sum() * 0.97) for k, name in enumerate(COMPONENTS)
            },
            members_usd=per_member,
            members_deficit_usd=dict.fromkeys(per_member, 0.0),
            accounts_gone=2,
        )
        if previous
        else None,
        warnings=(
            OfficerWarning("quarantine", "1 expiry is quarantined.", ("BTC 26JUN26: forward",)),
            OfficerWarning("exemption", "Two accounts are exempt from calls.", ("M001", "M002")),
        ),
    )
