"""Fixtures for tests of the log of the clearing house."""

from clearing_logs import empty_database, empty_file, log_url  # noqa: F401
