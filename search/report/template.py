"""Pages from templates: everything that is put into one is escaped and cleaned here.

A page extends base.html.j2, which has the head, the styles and the arms' colours.
"""

import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from search.report.frame import COLOURS
from spaces.text import printable


def rendered(template: str, **values: Any) -> str:
    """Return the page that a template of this folder makes of some values."""
    templates = Environment(
        loader=PackageLoader("search.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    templates.globals.update(colours=COLOURS, css=own("page.css"))
    return templates.get_template(template).render(values)


def own(name: str) -> Markup:
    """Return a file of ours that is put into the page as it is."""
    return Markup(files("search.report").joinpath(name).read_text(encoding="utf-8"))


def as_json(data: dict[str, Any]) -> Markup:
    """Return JSON that cannot end its script element. Raises ValueError for NaN and infinities."""
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _shown(value: Any) -> Any:
    """Return a value as the page may show it: all that is put into the template goes through it."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _plain(value: Any) -> Any:
    """Return plain JSON types with every text as the page may show it."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable(str(key)): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value
