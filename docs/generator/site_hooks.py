"""Hooks of mkdocs: generated pages, pages outside `docs`, and links that leave `docs`."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from site_contract import contract_page
from site_pages import (
    PROTOS,
    ROOT,
    reference_pages,
    repository_pages,
    static_files,
    target_of,
    with_site_links,
)
from site_tables import commands_page, errors_page, parameters_page


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the navigation's entry "Decisions" with every page of docs/decisions."""
    folder = Path(config.docs_dir) / "decisions"
    pages = [f"decisions/{path.name}" for path in sorted(folder.glob("*.md"))]
    for tab in config.nav or []:
        for items in tab.values():
            for item in items if isinstance(items, list) else []:
                if "Decisions" in item:
                    item["Decisions"] = pages
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the files of the repository that the site contains."""
    generated = {
        **repository_pages(),
        **reference_pages(),
        "reference/contract.md": contract_page(ROOT / PROTOS),
        "reference/errors.md": errors_page(),
        "reference/parameters.md": parameters_page(),
        "reference/commands.md": commands_page(),
    }
    for place, text in generated.items():
        files.append(File.generated(config, place, content=text))
    for path in static_files():
        place = target_of(path) or path
        files.append(File.generated(config, place, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_context: object) -> str:
    """Return the Markdown of a page of `docs` with links that stay within the site."""
    if page.file.generated_by is not None:
        return markdown
    return with_site_links(markdown, source=f"docs/{page.file.src_uri}", page=page.file.src_uri)
