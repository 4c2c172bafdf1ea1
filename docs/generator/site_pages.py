"""Pages of the site that lie outside `docs`, links to them, and the pages of the Python reference.

Nothing of mkdocs is imported; `site_hooks.py` calls the functions when the site is built.
"""

import ast
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTOS = "protos/margin_protos/v1"

REFERENCE = {
    "margin": (
        "Engine: margin",
        [
            "margin_actors.engine.margin",
            "margin_actors.engine.explain",
            "margin_actors.engine.disclosure",
        ],
    ),
    "scenarios": ("Engine: scenarios", ["margin_actors.engine.scenarios"]),
    "revaluation": (
        "Engine: revaluation",
        ["margin_actors.engine.revaluation", "margin_actors.engine.pricing"],
    ),
    "measures": ("Engine: risk measures", ["margin_actors.engine.measures"]),
    "span": ("Engine: SPAN and the venue grid", ["margin_actors.engine.span"]),
    "addons": ("Engine: add-ons", ["margin_actors.engine.addons"]),
    "tails": ("Engine: floors for large losses", ["margin_actors.engine.tails"]),
    "studies": (
        "Engine: backtests, comparisons and challenges",
        [
            "margin_actors.engine.backtest",
            "margin_actors.engine.comparison",
            "margin_actors.engine.challenge",
        ],
    ),
    "engine_parameters": ("Engine: parameters", ["margin_actors.engine.parameters"]),
    "market": (
        "Market data and books",
        [
            "margin_actors.market.instruments",
            "margin_actors.market.snapshots",
            "margin_actors.market.books",
            "margin_actors.market.portfolios",
            "margin_actors.market.candles",
            "margin_actors.market.chains",
            "margin_actors.market.cleansing",
            "margin_actors.market.surfaces",
            "margin_actors.market.synthetic",
            "margin_actors.numerics.black76",
        ],
    ),
    "client": ("Client", ["margin_client", "margin_client.results"]),
}
"""Pages of the reference: title and packages, by name of the page."""

_REPOSITORY_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/RESULTS.md": "benchmarks/RESULTS.md",
    "benchmarks/SERVICE.md": "benchmarks/SERVICE.md",
    "benchmarks/COMPARISON.md": "benchmarks/COMPARISON.md",
    "benchmarks/MODEL_TESTS.md": "benchmarks/MODEL_TESTS.md",
    "benchmarks/SOAK.md": "benchmarks/SOAK.md",
}
"""Pages outside `docs` that are part of the site."""
_TARGETS = {
    "docs": "index.md",
    "docs/decisions": "decisions/0001-a-floor-for-numerics.md",
    PROTOS: "reference/contract.md",
    "margin_actors/engine/explain": "reference/margin.md",
    "margin_actors/engine/disclosure": "reference/margin.md",
    "margin_actors/engine/pricing": "reference/revaluation.md",
    "margin_actors/engine/backtest": "reference/studies.md",
    "margin_actors/engine/comparison": "reference/studies.md",
    "margin_actors/engine/challenge": "reference/studies.md",
    "margin_actors/engine/parameters": "reference/engine_parameters.md",
    "margin_actors/engine/margin": "reference/margin.md",
    "margin_actors/engine/scenarios": "reference/scenarios.md",
    "margin_actors/engine/revaluation": "reference/revaluation.md",
    "margin_actors/engine/measures": "reference/measures.md",
    "margin_actors/engine/span": "reference/span.md",
    "margin_actors/engine/addons": "reference/addons.md",
    "margin_actors/engine/tails": "reference/tails.md",
    "margin_actors/market": "reference/market.md",
    "margin_actors/numerics": "reference/market.md",
}
"""Pages of the site that stand for folders of the repository; they also stand for what is below."""
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def static_files() -> list[str]:
    """Return the files of the repository that the site contains as they are."""
    return [f"examples/{p.name}" for p in sorted((ROOT / "examples").iterdir()) if p.is_file()] + [
        "LICENSE"
    ]


def target_of(path: str) -> str | None:
    """Return the place in the site of a file or folder of the repository, or None without one."""
    if path in static_files():
        return path if "." in path else f"{path}.txt"
    if path in _REPOSITORY_PAGES or path in _TARGETS:
        return _REPOSITORY_PAGES.get(path) or _TARGETS[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    above = [folder for folder in _TARGETS if path.startswith(f"{folder}/")]
    return _TARGETS[max(above, key=len)] if above else None


def with_site_links(text: str, *, source: str, page: str) -> str:
    """Return a page of the repository with its relative links changed to those of the site.

    Parameters
    ----------
    text : str
        Markdown.
    source, page : str
        Path of the page in the repository and in the site, for example ``docs/model.md`` and
        ``model.md``. A link without a place in the site is left as it is, and the build fails.
    """

    def changed(found: re.Match[str]) -> str:
        opening, link, fragment, closing = found.groups()
        if ":" in link:
            return found[0]
        target = target_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), link)))
        if target is None:
            return found[0]
        relative = posixpath.relpath(target, posixpath.dirname(page) or ".")
        return f"{opening}{relative}{fragment or ''}{closing}"

    return _LINK.sub(changed, text)


def repository_pages() -> dict[str, str]:
    """Return the Markdown of the pages that lie outside `docs`, by place in the site."""
    return {
        page: with_site_links((ROOT / source).read_text(), source=source, page=page)
        for source, page in _REPOSITORY_PAGES.items()
    }


def public_names(package: str) -> list[str]:
    """Return the names in ``__all__`` of a package, or the public definitions of a module."""
    folders = [ROOT, ROOT / "client", ROOT / "cluster"]
    places = [f / Path(*package.split(".")) for f in folders]
    files = [p / "__init__.py" for p in places] + [p.with_suffix(".py") for p in places]
    tree = ast.parse(next(f for f in files if f.is_file()).read_text())
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return [n for n in ast.literal_eval(value) if not n.startswith("_")]
            case _:
                pass
    defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return [n for n in defined if not n.startswith("_")]


def reference_pages() -> dict[str, str]:
    """Return the pages of the Python reference, by place in the site."""
    pages: dict[str, str] = {}
    listed: set[str] = set()
    for name, (title, packages) in REFERENCE.items():
        lines = [f"# {title}", ""]
        for package in packages:
            names = [n for n in public_names(package) if n not in listed]
            if name == "client":
                listed |= set(names)
            members = "".join(f"\n        - {n}" for n in names)
            lines += [
                f"## `{package}`", "",
                f"::: {package}", "    options:", "      show_root_heading: false",
                "      show_root_toc_entry: false", f"      members:{members}", "",
            ]  # fmt: skip
        pages[f"reference/{name}.md"] = "\n".join(lines)
    return pages
