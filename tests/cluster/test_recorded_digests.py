"""The digests of the recorded books stay what they were."""

import json
from pathlib import Path

import pytest
from margin_cluster.cli import app
from typer.testing import CliRunner

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "recorded_digests.json").read_text())


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("model", "time", "book", "digest"), GOLDEN["digests"])
def test_the_digest_of_a_recorded_book_is_unchanged(
    data_root: Path,
    environment: None,
    tmp_path: Path,
    model: str,
    time: str,
    book: str,
    digest: str,
) -> None:
    out = tmp_path / "out"
    options = ["--data", data_root, "--book", data_root / "portfolios" / book, "--out", out]
    options += ["--snapshot", time, "--model", model, "--no-pnl", "--json"]
    done = CliRunner().invoke(app, ["run", *map(str, options)])
    assert done.exit_code == 0, done.output
    assert json.loads((out / "inputs.json").read_text())["result"]["digest"] == digest
