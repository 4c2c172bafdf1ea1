"""The first date of a study, and studies that fail in one of several processes."""

import threading
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from margin_cluster import studies
from margin_cluster.cli import app
from typer.testing import CliRunner

from margin_actors.engine.backtest import ReplayInputs
from margin_actors.progress import no_progress

pytestmark = pytest.mark.usefixtures("environment")


def margin(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


def test_without_a_first_date_a_study_begins_on_the_first_possible_one(
    tmp_path: Path, folder: Path
) -> None:
    out = tmp_path / "out"
    text = margin("backtest", "--data", folder, "--out", out, "--to", "2025-01-20",
                  "--engine", "historical")  # fmt: skip
    assert "The first date is 2025-01-" in text
    assert "1,825 windows allow; --from sets another" in text
    first = text.split("The first date is ")[1][:10]
    # One day earlier is refused, and the message names the option and the first possible date.
    day = str(np.datetime64(first) - 1)
    text = margin("backtest", "--data", folder, "--out", tmp_path / "no", "--from", day, code=2)
    assert f"the replay cannot begin on {day}" in text
    assert "--from: the history has 1824 windows, the model requires 1825" in text
    assert f"the first possible date is {first}" in text


def test_a_failure_in_another_process_leaves_no_traceback_of_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All pieces fail, so that some have not begun when the processes are ended."""
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    dates = np.arange(40 * 30).astype("datetime64[ms]")
    nothing = cast("ReplayInputs", None)
    with pytest.raises(AttributeError):
        studies._in_pieces(studies._replay_piece, nothing, dates, processes=2, progress=no_progress)
    assert [str(r.exc_value) for r in raised] == []
