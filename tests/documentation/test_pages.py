"""The pages hold together: links lead somewhere, named tests exist, figures were measured, no name is missing."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.making import carriers, changes, command_line, errors, figures, names
from tests.documentation.blocks import DOCS, ROOT, pages, prose
from tidings.errors import TidingsError

MADE = {
    "changes.md": changes.page,
    "measured.md": figures.page,
    "reference/command-line.md": command_line.page,
    "reference/errors.md": errors.page,
}

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_RATE = re.compile(r"\d[\d,.]* (?:/s|events/s|events a second|MiB)")


def text_of(page: str) -> str | None:
    """A page as it is written or made."""
    if page in MADE:
        return MADE[page]()
    path = DOCS / page
    return prose(path) if path.is_file() else None


def anchors(text: str) -> set[str]:
    """What headings are called in a link, as Python-Markdown calls them."""
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def anchor(heading: str) -> str:
    plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower()).strip()
    return re.sub(r"[-\s]+", "-", plain)


def links() -> Iterator[tuple[Path, str]]:
    for page in [*pages(), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"))]:
        for target in _LINK.findall(prose(page)):
            if "://" not in target:
                yield page, target


def test_every_link_leads_to_something_and_to_a_heading_of_it() -> None:
    for page, target in links():
        path, _, wanted = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        said = f"{page.relative_to(ROOT)} links to {target}"

        if there.is_relative_to(DOCS) and (text := text_of(str(there.relative_to(DOCS)))) is not None:
            assert not wanted or wanted in anchors(text), f"{said}: no such heading"
        else:
            assert there.exists(), f"{said}: it is not there"
            assert DOCS not in page.parents, f"{said}: the built pages have no such file"


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)

    assert sorted(navigation) == sorted([*(str(page.relative_to(DOCS)) for page in pages()), *MADE])


def test_the_tests_that_the_page_of_promises_names_exist_and_every_promise_names_some() -> None:
    text = (DOCS / "promises.md").read_text()
    promised = re.findall(r"^\| \[.+?\]\(#(.+?)\) \|", text, re.MULTILINE)
    sections = {anchor(part.partition("\n")[0]): part for part in text.split("\n## ")[1:]}

    assert promised
    for name in promised:
        [broken] = re.findall(r"\*Broken by\* (.+?\.)(?:\n\n|\Z|\n$)", sections[name], re.DOTALL)
        files = re.findall(r"`([^`]+)`", broken)
        assert files, f"nothing breaks the promise {name!r}"
        for file in files:
            assert re.search(r"^(async )?def test_", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no test"


def test_every_figure_that_a_page_asks_for_was_measured() -> None:
    for page in pages():
        figures.filled(page.read_text())


def test_no_page_has_a_rate_of_its_own() -> None:
    for page in pages():
        found = _RATE.findall(prose(page))
        assert not found, f"{page.relative_to(ROOT)} says {found}: write {{{{measured: ...}}}}, as in docs/when-not.md"


def test_the_figures_of_the_readme_are_those_measured() -> None:
    text = (ROOT / "README.md").read_text()
    medians = [float(match) for each in figures.figures().values() for match in re.findall(r"^[\d.]+", each)]
    said = re.findall(r"(\d+\.\d+) (?:ms \(median|% of a core)", text)

    assert said
    for figure in said:
        places = len(figure.partition(".")[2])
        assert any(round(median, places) == float(figure) for median in medians), f"{figure} was not measured"


@pytest.mark.parametrize("module", ["tidings", "tidings.testing", "tidings.streams"])
def test_the_reference_has_every_public_name_once(module: str) -> None:
    public = [f"{module}.{name}" for name in importlib.import_module(module).__all__ if not name.startswith("__")]
    asking = [page for page in sorted(names.REFERENCE.glob("*.md")) if f"{{{{others: {module}}}}}" in page.read_text()]

    assert len(asking) == 1
    for name in public:
        assert [*names.written(), *names.others(module)].count(name) == 1
    assert not names.ASKED.search(names.filled(asking[0].read_text()))


def test_the_page_of_errors_has_every_error() -> None:
    text = errors.page()

    assert TidingsError in errors.kinds()
    for kind in errors.kinds():
        assert f"\n## {kind.__name__}\n" in text
        assert f"- [`{kind.__name__}`](#{kind.__name__.lower()})" in text


def test_the_page_of_commands_has_every_command_with_an_example() -> None:
    text = command_line.page()

    assert len(command_line.commands()) > 10
    for name, _ in command_line.commands():
        assert f"\n## {name}\n" in text
    assert "$ tidings publish order:created" in text


def test_the_page_of_changes_has_every_fragment() -> None:
    text = changes.page()

    for fragment in (ROOT / "changelog.d").glob("+*.md"):
        assert fragment.read_text().strip() in text


def test_the_table_of_carriers_is_what_they_say_of_themselves() -> None:
    page = carriers.PAGE.read_text()

    assert page == carriers.renewed(page), "renew it with: python -m docs.making.carriers"
