"""Rules for functions: they fit on a screen, and calculations do not know the names of files.

A function has at most 60 lines, docstring included. Compiled kernels and the commands of the
command line are exempt: a kernel cannot be divided without cost, and a command declares each of its
options.

Only functions that read a table or a file's content receive its name for messages; all others raise
errors whose problems have a `Location`, see `named_input`.
"""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 60
FOLDERS = ("margin_actors/", "cluster/", "client/")
COMMANDS = "cluster/margin_cluster/cli/"
COMPILED = {"compiled", "inlined", "intrinsic", "njit"}
READERS = {
    "require_columns",
    "book_from_table",
    "collateral_from_table",
    "candles_from_table",
    "snapshot_from_table",
    "scenario_set_from_table",
    "_metadata_of",
    "_calibration_of",
    "_provenance_columns",
    "_perpetual_columns",
    "_words",
    "parameters_from_mapping",
}
"""Functions of `margin_actors` that receive the name of the table or file that they read."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_kernel(function: Function) -> bool:
    """Return whether a decorator compiles the function."""
    for decorator in function.decorator_list:
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(name, ast.Name) and name.id in COMPILED:
            return True
    return False


def long_functions(text: str) -> Iterator[tuple[str, int]]:
    """Yield (name, number of lines) of each function that is too long and not a kernel."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, Function | ast.ClassDef):
                name = f"{prefix}{child.name}."
            if isinstance(child, Function):
                if is_kernel(child):
                    continue
                assert child.end_lineno is not None
                lines = child.end_lineno - child.lineno + 1
                if lines > LINES_MAX:
                    yield name.rstrip("."), lines
            yield from visit(child, name)

    yield from visit(ast.parse(text), "")


def test_no_function_is_longer_than_60_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = [
        name
        for name in listed.stdout.split()
        if name.startswith(FOLDERS) and not name.startswith(COMMANDS) and (ROOT / name).exists()
    ]
    found = {
        f"{name}:{function}": lines
        for name in names
        for function, lines in long_functions((ROOT / name).read_text())
    }
    assert not found


@pytest.mark.parametrize(
    ("head", "is_found"),
    [
        ("def f():", True),
        ("async def f():", True),
        ("@cache\ndef f():", True),
        ("@compiled\ndef f():", False),
        ("@njit(cache=True)\ndef f():", False),
    ],
)
def test_long_functions_are_found_and_kernels_are_not(head: str, is_found: bool) -> None:
    long = head + "\n" + "    pass\n" * LINES_MAX
    assert bool(list(long_functions(long))) is is_found
    assert not list(long_functions(head + "\n" + "    pass\n" * (LINES_MAX - 1)))


def test_methods_and_inner_functions_are_found() -> None:
    body = "        pass\n" * LINES_MAX
    assert list(long_functions(f"class C:\n    def f(self):\n{body}")) == [("C.f", LINES_MAX + 1)]
    inner = f"def f():\n    def g():\n{body}"
    assert [name for name, _ in long_functions(inner)] == ["f", "f.g"]


def test_only_readers_receive_the_name_of_an_input() -> None:
    found = {
        node.name
        for path in sorted((ROOT / "margin_actors").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Function)
        for item in (*node.args.args, *node.args.kwonlyargs)
        if item.arg == "where"
    }
    assert found - {"_flat"} == READERS  # in `_flat` it is the name of a parameter
