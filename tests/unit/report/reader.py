"""A page as a test reads it: tags with their attributes, headings, and the visible text."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr", "source"}
DRAWN = {"line", "circle", "polyline", "polygon", "rect", "path"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    pieces: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())


class Page(HTMLParser):
    """Refuses tags that do not nest, and keeps every element with the text inside it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        assert len(attrs) == len(element.attributes), f"an attribute twice in {attrs}"
        self.elements.append(element)
        if self._open:
            self._open[-1].children.append(element)
        if tag not in VOID and tag not in DRAWN:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in DRAWN
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1].tag == tag, f"</{tag}> closes nothing"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.pieces.append(data)

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def row(self, name: str, occurrence: int = 0) -> list[str]:
        """Give the cells of the table row whose heading starts with a name."""
        found = [
            row
            for row in self.all("tr")
            if row.children and row.children[0].tag == "th" and row.children[0].text.startswith(name)
        ]
        return [cell.text for cell in found[occurrence].children]
