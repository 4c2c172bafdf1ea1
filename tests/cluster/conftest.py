"""Data of the tests of the command line."""

from pathlib import Path

import pytest
from margin_cluster.sources import write_synthetic_folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic data with a book of ten accounts and the chains of 36 days."""
    path = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic_folder(path, seed=11, n_accounts=10, history_days=36)
    return path
