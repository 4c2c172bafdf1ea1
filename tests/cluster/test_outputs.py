"""Outputs: checked before the work, replaced only if a command wrote them, and no tracebacks."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import typer
from margin_cluster.cli import app
from margin_cluster.cli.errors import reporting_errors
from margin_cluster.cli.outputs import MARKER, output_file, output_folder
from typer.testing import CliRunner

from margin_actors.errors import InvalidRequest
from margin_actors.parameter_section import ParameterSection

pytestmark = pytest.mark.usefixtures("environment")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run",),
    ("compare",),
    ("backtest",),
    ("procyclicality",),
)
STARTED = "…"
"""Stands in every line that announces a stage of the work."""


def refuse(*arguments: object) -> str:
    """Expect exit code 2, a message instead of a traceback, and that no work was started."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert STARTED not in result.output
    return " ".join(result.output.split())


def write_results(path: Path, files: Sequence[str] = ("margin.csv", "report.html")) -> None:
    with output_folder(path, command="run", replace=True) as folder:
        for name in files:
            (folder / name).write_text(name)


def write_results_while(path: Path, appearing: Path | None) -> None:
    """Write results while another program adds a file, or (None) until Ctrl-C is pressed."""
    with output_folder(path, command="run", replace=True) as folder:
        (folder / "margin.csv").write_text("new")
        if appearing is None:
            raise KeyboardInterrupt
        appearing.parent.mkdir(exist_ok=True)
        appearing.write_text("mine")


def contents(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_force_keeps_a_folder_that_no_command_wrote(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """`--force` replaces only what a command wrote, and deletes no other file."""
    target = tmp_path / "keep"
    target.mkdir()
    (target / "thesis.txt").write_text("years of work")
    text = refuse(*command, "--out", target, "--force")
    assert "keep: it was not written by this program" in text
    assert "name another folder" in text
    assert contents(tmp_path) == {"keep/thesis.txt": "years of work"}


def test_force_refuses_results_of_a_version_without_a_marker(tmp_path: Path) -> None:
    for name in ("inputs.json", "margin.csv", "report.html"):
        (tmp_path / name).write_text("{}")
    text = refuse("run", "--out", tmp_path, "--force")
    assert f"by a version that left no marker in it ({MARKER} is missing)" in text
    assert "delete it yourself" in text
    assert len(contents(tmp_path)) == 3


def test_force_refuses_and_lists_files_that_the_run_did_not_write(tmp_path: Path) -> None:
    target = tmp_path / "results"
    write_results(target)
    (target / "notes.txt").write_text("mine")
    (target / "margin.csv").write_text("margin.csv with my comments")
    (target / "figures").mkdir()
    (target / "link").symlink_to(tmp_path)
    before = contents(tmp_path)
    text = refuse("run", "--out", target, "--force")
    assert "notes.txt: the command did not write this file (move it elsewhere)" in text
    assert "margin.csv: it was changed after the command wrote it" in text
    assert "figures: the command did not make this folder" in text
    assert "link: the command did not make this link" in text
    assert "report.html:" not in text
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"tool": "other", "format": 1, "files": {}}',
        '{"tool": "margin-cluster", "format": 1, "files": {"a": {}}}',
        '{"tool": "margin-cluster", "format": 1, "files": 3}',
        '{"tool": "margin-cluster", "format": 2, "files": {}}',
    ],
)
def test_force_refuses_a_marker_that_it_cannot_use(tmp_path: Path, content: str) -> None:
    target = tmp_path / "results"
    write_results(target)
    (target / MARKER).write_text(content)
    assert f"its marker {MARKER} cannot be used" in refuse("run", "--out", target, "--force")
    assert (target / "margin.csv").exists()


def test_force_keeps_the_results_of_another_command(tmp_path: Path) -> None:
    target = tmp_path / "results"
    write_results(target)
    assert "it holds the results of `margin run`" in refuse("compare", "--out", target, "--force")
    assert (target / "margin.csv").exists()


def test_force_replaces_what_a_command_wrote_and_nothing_remains(tmp_path: Path) -> None:
    target = tmp_path / "results"
    write_results(target, ("margin.csv", "pnl.parquet"))
    (target / "pnl.parquet").unlink()  # A file that the user deleted does not matter.
    write_results(target, ("margin.csv", "report.html"))
    assert set(contents(tmp_path)) == {
        f"results/{n}" for n in (MARKER, "margin.csv", "report.html")
    }
    marker = json.loads((target / MARKER).read_text())
    assert set(marker["files"]) == {"margin.csv", "report.html"}
    assert marker["command"] == "run"


def test_a_file_added_during_the_work_is_not_deleted(tmp_path: Path) -> None:
    target = tmp_path / "results"
    write_results(target)
    before = contents(target)
    with pytest.raises(InvalidRequest, match="more than the unchanged files"):
        write_results_while(target, target / "late.txt")
    assert contents(tmp_path) == {f"results/{n}": t for n, t in before.items()} | {
        "results/late.txt": "mine"
    }
    with pytest.raises(InvalidRequest, match="cannot replace"):
        write_results_while(tmp_path / "new", tmp_path / "new" / "late.txt")
    assert contents(tmp_path / "new") == {"late.txt": "mine"}


def test_an_interrupted_replacement_keeps_the_earlier_results(tmp_path: Path) -> None:
    target = tmp_path / "results"
    write_results(target)
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        write_results_while(target, None)
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_results(tmp_path / "link")
    write_results(tmp_path / "link", ("other.csv",))
    assert (tmp_path / "link").is_symlink()
    assert set(contents(tmp_path / "real")) == {MARKER, "other.csv"}


def test_outputs_follow_the_umask(tmp_path: Path) -> None:
    earlier = os.umask(0o077)
    try:
        write_results(tmp_path / "results")
    finally:
        os.umask(earlier)
    modes = {p.stat().st_mode & 0o077 for p in (tmp_path / "results", *tmp_path.rglob("*"))}
    assert modes == {0}


@pytest.mark.parametrize("command", [*COMMANDS, ("report",), ("data", "generate")])
def test_an_unusable_output_is_noticed_before_the_work(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """The output is checked first, and a fault is one message without a traceback."""
    (tmp_path / "file").write_text("x")
    assert "does not exist (create it" in refuse(*command, "--out", tmp_path / "no" / "such")
    assert "file is not a folder" in refuse(*command, "--out", tmp_path / "file" / "below")
    assert "cannot write in /proc" in refuse(*command, "--out", "/proc/results")
    assert "file: it" in refuse(*command, "--out", tmp_path / "file")
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "x").write_text("x")
    assert "occupied: it" in refuse(*command, "--out", occupied)
    assert set(contents(tmp_path)) == {"file", "occupied/x"}
    assert {p.name for p in tmp_path.iterdir()} == {"file", "occupied"}


def test_a_folder_without_write_permission_is_noticed_before_the_work(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "Permission denied (check the folder's owner" in refuse("run", "--out", locked / "out")


def test_a_fetch_that_cannot_be_stored_is_noticed_before_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    fetch = ("data", "fetch", "--url", "http://127.0.0.1:1", "--out")
    assert "name a folder" in refuse(*fetch, tmp_path / "file")
    assert "cannot write in /proc" in refuse(*fetch, "/proc/deribit")


def test_the_folder_in_use_as_current_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "the current directory is inside it" in refuse("run", "--out", ".")


def test_a_report_replaces_only_a_report(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html>my own page</html>")
    assert "add --force" in refuse("report", "--out", page)
    assert "it is not a report of this program" in refuse("report", "--out", page, "--force")
    assert page.read_text() == "<html>my own page</html>"
    made = tmp_path / "made.html"
    for text in ("first", "second"):
        with output_file(made, replace=True) as file:
            file.write_text(f'<meta name="generator" content="margin-cluster 0">{text}')
    assert made.read_text().endswith("second")
    assert {p.name for p in tmp_path.iterdir()} == {"page.html", "made.html"}


def margin_process(
    *arguments: object, cwd: Path, **options: object
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "margin_cluster", *(str(a) for a in arguments)]
    return subprocess.run(command, cwd=cwd, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.slow
def test_a_full_standard_output_is_one_message(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = margin_process(
            "model", "show", "--json", cwd=tmp_path, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert "No space left on device (free some space" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_reader_that_goes_away_ends_the_command_quietly(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = margin_process(
            "model", "show", *extra, cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE
        )
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stops a write as a full disk does."""
    limit = "ulimit -f 200; exec"  # Blocks of 512 or 1,024 bytes: smaller than the store's tables.
    command = f"{limit} {sys.executable} -m margin_cluster run --out out --no-pnl"
    environment = os.environ | {"MARGIN_STORE": str(tmp_path / "store")}
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path / "work", env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large (the limit on the size of a file is too low" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.slow
def test_a_disk_without_space_is_noticed_before_the_work(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {disk}"
    allowed = shutil.which("unshare") and not subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False
    ).returncode  # fmt: skip
    if not allowed:
        pytest.skip("a file system of 1 MiB cannot be mounted here")
    script = f"{mount} && exec {sys.executable} -m margin_cluster run --out {disk}/out"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], text=True, capture_output=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "MiB are free on the disk of" in done.stderr
    assert STARTED not in done.stderr


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        (("run",), "Generating"),
        pytest.param(("run",), "Revaluing", marks=pytest.mark.slow),
        pytest.param(("backtest", "--from", "2025-06-01"), "Replaying", marks=pytest.mark.slow),
    ],
)
def test_an_interruption_from_the_keyboard_is_one_line_and_leaves_nothing(
    tmp_path: Path, command: tuple[str, ...], stage: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "margin_cluster", *command, "--out", "out"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"MARGIN_THREADS": "2"}, start_new_session=True,
        # A shell starts its background jobs with SIGINT ignored, and so would this test be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(stage):
            os.killpg(process.pid, signal.SIGINT)  # As a terminal does, to all processes.
            break
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "margin: interrupted"
    assert "Traceback" not in stderr
    assert stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_inside_a_serializer_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pydantic replaces every exception of a serializer, an interruption as well."""

    class Interrupted(ParameterSection):
        later_fields: ClassVar[frozenset[str]] = frozenset({"x"})
        x: int = 0

    monkeypatch.setattr(Interrupted, "later_fields", Interruption())
    with pytest.raises(typer.Exit) as caught:
        reporting_errors(Interrupted().model_dump)()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "margin: interrupted\n"


class Interruption(Iterable[str]):
    """An iterable that is interrupted when it is read."""

    def __iter__(self) -> Iterator[str]:
        raise KeyboardInterrupt


def test_an_interruption_while_the_command_loads_is_one_line(tmp_path: Path) -> None:
    code = (
        "import builtins, signal\n"
        "from margin_cluster.__main__ import main\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *arguments, **named):\n"
        "    if name == 'margin_cluster.cli':\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return load(name, *arguments, **named)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "builtins.__import__ = interrupted\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (130, "margin: interrupted\n")
