"""The report: one HTML file that needs nothing else, for people."""

from margin_cluster.report.page import report_html

__all__ = ["report_html"]
