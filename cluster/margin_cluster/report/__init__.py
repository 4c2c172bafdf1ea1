"""Reports as self-contained HTML files."""

from margin_cluster.report.chain_backtest import chain_backtest_html
from margin_cluster.report.challenge import challenge_html
from margin_cluster.report.identity import ReportIdentity, ReportOrigin
from margin_cluster.report.model_impact import ImpactPage, impact_html
from margin_cluster.report.officer import (
    AccountDetails,
    OfficerPage,
    OfficerWarning,
    PreviousAmounts,
    Resources,
)
from margin_cluster.report.page import officer_html, report_html
from margin_cluster.report.studies import (
    backtest_html,
    comparison_html,
    procyclicality_html,
)

__all__ = [
    "AccountDetails",
    "OfficerPage",
    "OfficerWarning",
    "PreviousAmounts",
    "ReportIdentity",
    "ReportOrigin",
    "Resources",
    "officer_html",
    "backtest_html",
    "challenge_html",
    "comparison_html",
    "ImpactPage",
    "chain_backtest_html",
    "impact_html",
    "procyclicality_html",
    "report_html",
]
