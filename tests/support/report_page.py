"""A report as a browser would read it, and what its figures draw."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from search.report.page import write_report
from search.results.read import Results


class Page(HTMLParser):
    """What a browser would make of the page: its elements, texts and tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.rows: list[list[str]] = []
        self._inside: list[str] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()
        if tag in ("td", "th"):
            self._in_cell = False
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self._inside:
            (self.scripts if self._inside[-1] == "script" else self.styles).append(data)
            return
        self.texts.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def written(results: Results, folder: Path) -> Page:
    path = folder / "report.html"
    write_report(results, path)
    return Page(path.read_text())


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def data(page: Page) -> dict[str, Any]:
    return json.loads(page.scripts[0], parse_constant=refuse)


def figure(page: Page, name: str) -> dict[str, Any]:
    return next(each for each in data(page)["figures"] if each["name"] == name)
