"""A model's card: what it maps, from what, how well in each scenario, and what it was trained on, as an HTML page."""

from __future__ import annotations

from pathlib import Path

from engine.files import write_text
from engine.model.file import Model
from engine.report.page import render


def card(model: Model) -> str:
    """The page, complete in itself; names of any script and with any sign are shown as they are.

    Args:
        model: The model.
    """
    metadata = model.metadata
    order = {name: place for place, name in enumerate(model.names)}
    accuracy = sorted(
        metadata.accuracy,
        key=lambda one: (one.split, -one.scenario.count("+"), [order.get(name, 0) for name in one.scenario.split("+")]),
    )
    return render(
        "card.html",
        title=metadata.name,
        metadata=metadata,
        metres=model.metres,
        size=model.path.stat().st_size,
        accuracy=accuracy,
        by_class=[one for one in accuracy if one.classes is not None and one is metadata.expected[one.scenario]],
    )


def write_card(model: Model, path: Path) -> None:
    """Writes the page.

    Raises:
        OutputError: If it cannot be written.
    """
    write_text(path, card(model))
