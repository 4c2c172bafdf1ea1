"""The documentation of every public array states its type, its shape and its unit.

Checked are the array parameters of public functions and methods of `margin_actors`, and the array
fields of public records. A parameter may be documented in a numpydoc section, in a sentence that
names it in backticks, or in a sentence on all arrays; "as `other`" refers to the documentation of
another function of the module, or of the field of a record.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARRAYS = re.compile(r"\b(FloatArray|IntArray|IndexArray|BoolArray|TimeArray|ndarray|NDArray)\b")
DTYPE = re.compile(r"\b(float64|int64|int32|uint8|uint64|bool|int array|datetime64|datetime)\b")
SHAPE = re.compile(
    r"\([\w+*\-. ]+,[^)]*\)|\bany shape\b|\b[Ss]haped? (?:like|of)\b|\bbroadcast\b|\(len\(\w+\),\)"
)
UNIT = re.compile(
    r"""\b(?:USD|dollars?|coins?|ticks?|units?|lots?|quantity|quantities|points?|percent
    |fractions?|ratios?|shares?|dimensionless|relative|probabilit(?:y|ies)|weights?|factors?
    |ind(?:ex|ices)|ranks?|rows?|numbers?|words?|counts?|codes?|kinds?|sign|True|False
    |years?|days?|hours?|seconds?|ms|UTC|NaT|annual|volatilit(?:y|ies)|variances?|sigma|correlations?
    |moneyness|(?:log|spot|squared)\ returns?|ln|logarithms?|log|standardi[sz]ed|uniforms?|normals?
    |parameters|shocks?)\b""",
    re.VERBOSE | re.IGNORECASE,
)
UNIT_IN_NAME = re.compile(r"_(?:usd|coins|days|hours|years|annual|fraction)$")
ABOUT_ALL = re.compile(r"\b(?:[Aa]ll|[Bb]oth) (?:arrays|arguments)\b|\b[Aa]rguments?\b.*\bas `")
SECTION = re.compile(r"^[A-Z][a-z]+\n-{3,}$", re.MULTILINE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """Documented names of one module."""

    functions: dict[str, Function]
    """Functions and methods by name, ``f`` or ``Class.f``."""
    records: dict[str, ast.ClassDef]


def module_of(text: str) -> Module:
    functions: dict[str, Function] = {}
    records: dict[str, ast.ClassDef] = {}
    for node in ast.parse(text).body:
        if isinstance(node, Function):
            functions[node.name] = node
        elif isinstance(node, ast.ClassDef):
            records[node.name] = node
            for child in node.body:
                if isinstance(child, Function):
                    functions[f"{node.name}.{child.name}"] = child
    return Module(functions, records)


def is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def is_array(annotation: ast.expr | None) -> bool:
    return annotation is not None and bool(ARRAYS.search(ast.unparse(annotation)))


def parameters(function: Function) -> Iterator[ast.arg]:
    arguments = function.args
    for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if is_array(item.annotation):
            yield item


def section(text: str, title: str) -> str:
    """Return the body of a numpydoc section, empty if there is none."""
    head = re.search(rf"^{title}\n-+\n", text, re.MULTILINE)
    if head is None:
        return ""
    body = text[head.end() :]
    following = SECTION.search(body)
    return body[: following.start()] if following else body


def described(text: str, name: str) -> str:
    """Return what a docstring says about a parameter."""
    found: list[str] = []
    entries = re.split(r"\n(?=\S)", section(text, "Parameters"))
    for entry in entries:
        names, _, rest = entry.partition(":")
        head = names.splitlines()[0] if names else ""
        if name in re.split(r"[,\s]+", head):
            found.append(rest if rest else entry)
    text = re.sub(r"\s+", " ", SECTION.split(text)[0]) + " ".join(
        re.findall(r"All arguments [^.]+\.", text)
    )
    found += [
        sentence
        for sentence in re.split(r"(?<=[.;])\s+", text)
        if f"`{name}`" in sentence or ABOUT_ALL.search(sentence)
    ]
    return " ".join(found)


def fields(record: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Yield (field, its docstring) for each field of a record with an array type."""
    for node, following in zip(record.body, [*record.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and is_array(node.annotation):
            text = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = str(following.value.value)
            yield node, text


def is_record(node: ast.ClassDef) -> bool:
    names = [ast.unparse(item) for item in (*node.decorator_list, *node.bases)]
    return any(re.match(r"(dataclass|NamedTuple)\b", name) for name in names)


def referred(text: str, name: str, modules: dict[str, Module], home: Module) -> str:
    """Return the documentation to which ``as `other` `` refers, or an empty text."""
    found: list[str] = []
    for other in re.findall(
        r"\b[Aa]s (?:in |an? )?`([\w.]+)`|`([\w.]+)`; see|see `([\w.]+)`", text
    ):
        target = next(part for part in other if part)
        for module in (home, *modules.values()):
            if target in module.functions:
                found.append(described(ast.get_docstring(module.functions[target]) or "", name))
                break
            record, _, field = target.rpartition(".")
            if record in module.records:
                found.append(field_text(module.records[record], field))
                break
            if target in module.records:
                found.append(field_text(module.records[target], name))
                break
    return " ".join(found)


def field_text(record: ast.ClassDef, name: str) -> str:
    whole = ast.get_docstring(record) or ""
    for node, text in fields(record):
        if isinstance(node.target, ast.Name) and node.target.id == name:
            return f"{text} {whole}"
    return ""


def lacks(text: str, name: str, annotation: str) -> list[str]:
    """Return what the description of an array does not state."""
    missing = []
    if not DTYPE.search(text):
        missing.append("dtype")
    if not SHAPE.search(text):
        missing.append("shape")
    if "BoolArray" not in annotation and not (UNIT.search(text) or UNIT_IN_NAME.search(name)):
        missing.append("unit")
    return missing


def faults_of(home: Module, modules: dict[str, Module]) -> Iterator[tuple[str, list[str]]]:
    """Yield (name, what is not stated) for each array whose documentation is incomplete."""
    for name, function in home.functions.items():
        if not is_public(name):
            continue
        text = ast.get_docstring(function) or ""
        for item in parameters(function):
            assert item.annotation is not None
            own = described(text, item.arg)
            own += " " + referred(own, item.arg, modules, home)
            missing = lacks(own, item.arg, ast.unparse(item.annotation))
            if missing:
                yield f"{name}({item.arg})", missing
    for name, record in home.records.items():
        if not is_public(name) or not is_record(record):
            continue
        whole = ast.get_docstring(record) or ""
        for node, text in fields(record):
            assert isinstance(node.target, ast.Name)
            whole_text = f"{text} {whole}"
            whole_text += " " + referred(text, node.target.id, modules, home)
            missing = [] if text else ["docstring"]
            if not SHAPE.search(whole_text):
                missing.append("shape")
            if missing and is_public(node.target.id):
                yield f"{name}.{node.target.id}", missing


def all_modules() -> dict[str, Module]:
    paths = sorted((ROOT / "margin_actors").rglob("*.py"))
    return {str(path.relative_to(ROOT)): module_of(path.read_text()) for path in paths}


def test_every_public_array_states_its_type_shape_and_unit() -> None:
    modules = all_modules()
    found = {
        f"{path}:{name}": ", ".join(missing)
        for path, module in modules.items()
        for name, missing in faults_of(module, modules)
    }
    assert not found


def faults_in(text: str) -> list[tuple[str, list[str]]]:
    module = module_of(text)
    return list(faults_of(module, {"module": module}))


@pytest.mark.parametrize(
    ("docstring", "missing"),
    [
        ("Return x.", ["dtype", "shape", "unit"]),
        ("Return the sum of `x`, float64 (n_rows,).", ["unit"]),
        ("Return the sum of `x`, (n_rows,), US dollars.", ["dtype"]),
        ("Return the sum of `x`, a float64 array in US dollars.", ["shape"]),
        ("Return the sum of `y`, float64 (n_rows,), US dollars.", ["dtype", "shape", "unit"]),
        ("Return the sum of `x`, float64 (n_rows,), US dollars.", []),
        ("Return y.\n\nParameters\n----------\nx : float64 (n_rows,)\n    Amount.", ["unit"]),
        ("Return y.\n\nParameters\n----------\nx, z : float64 (n_rows,), USD\n    Amount.", []),
        ("Return y.\n\nParameters\n----------\ny : float64 (n,), USD", ["dtype", "shape", "unit"]),
        ("Return y.\n\nReturns\n-------\nx : float64 (n,), USD", ["dtype", "shape", "unit"]),
    ],
)
def test_incomplete_parameters_are_found(docstring: str, missing: list[str]) -> None:
    found = faults_in(f"def f(x: FloatArray, n: int) -> int:\n    {docstring!r}")
    assert found == ([("f(x)", missing)] if missing else [])


def test_a_reference_counts_as_the_documentation_of_what_it_names() -> None:
    other = "def g(x: FloatArray) -> None:\n    'Use `x`, float64 (n,), USD.'\n"
    assert not faults_in(f"{other}def f(x: FloatArray) -> None:\n    'Arguments as `g`.'")
    assert faults_in(f"{other}def f(y: FloatArray) -> None:\n    'Arguments as `g`.'")


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("x: FloatArray", ["docstring", "shape"]),
        ("x: FloatArray\n    'Amounts, US dollars.'", ["shape"]),
        ("x: FloatArray\n    'float64 (n,): amounts, US dollars.'", []),
        ("x: float", []),
        ("_x: FloatArray", []),
    ],
)
@pytest.mark.parametrize("head", ["@dataclass(frozen=True)\nclass R:", "class R(NamedTuple):"])
def test_incomplete_fields_are_found(head: str, body: str, missing: list[str]) -> None:
    found = faults_in(f"{head}\n    {body}")
    assert [what for _, what in found] == ([missing] if missing else [])
    assert not faults_in(f"{head.replace('class R', 'class _R')}\n    {body}")


def test_compiled_functions_and_methods_are_checked() -> None:
    assert faults_in("@compiled\ndef f(x: FloatArray) -> None:\n    'Do.'")
    assert faults_in("class C:\n    def f(self, x: np.ndarray) -> None:\n        'Do.'")
    assert not faults_in("def _f(x: FloatArray) -> None:\n    'Do.'")
