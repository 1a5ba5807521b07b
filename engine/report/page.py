"""A page for people: one file that needs no network and no script, for browsers, Qt's rich text and paper.

A page is a title with sections; a section is a template of this folder with its values. What shows it may know tables
and images alone, as Qt does: bars and colours are images, which are printed too, and what stands in columns is a table.
Where more is known, as in browsers, pictures stand beside tables. Texts of others are escaped, and what steers in them
is spelled out.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from engine.names import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        title: Its heading.
        template: A file of this folder.
        values: What stands in it.
    """

    title: str
    template: str
    values: Mapping[str, object]


def page(title: str, under: str, sections: Sequence[Section]) -> str:
    """A page of sections.

    Args:
        title: What it is on.
        under: A sentence that stands under the title.
        sections: In their order.
    """
    parts = [(one.title, render(one.template, **one.values)) for one in sections]
    return render("base.html", title=title, under=under, sections=parts)


def render(template: str, **values: object) -> str:
    """A template of this folder with its values."""
    return _PAGES.get_template(template).render(**values)


def picture(colors: NDArray[np.uint8]) -> str:
    """Colours ``[h, w, 3]``, 0-255, as the address of an image that lies in the page."""
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, np.ascontiguousarray(colors), format="png", metadata={"Software": ""})
    return _address(file)


def drawing(figure: Figure) -> str:
    """A figure as the address of an image that lies in the page."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=200)
    return _address(file)


@cache
def dot(color: str) -> str:
    """One pixel of a colour (``#rrggbb``), which an image's width and height make a bar or a patch."""
    return picture(np.frombuffer(bytes.fromhex(color.removeprefix("#")), dtype=np.uint8).reshape(1, 1, 3))


def _address(file: BytesIO) -> str:
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def _plain(value: object) -> object:
    """What is put into a page; what templates have made is as it shall be."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, finalize=_plain
)
_PAGES.globals["dot"] = dot
