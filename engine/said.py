"""Texts that a host can say in another language: with the template and the values that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Said(str):
    """A text. Where it is joined to others or cut, it is a plain one again.

    Args:
        template: In English, with places as :meth:`str.format` has them; it stands in the call as it is, so that it can
            be collected for translation.
        values: What stands in the places: texts, numbers, texts like this one, or lists of them.
    """

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, **values: Any) -> Said:  # noqa: ANN401 (whatever can be formatted)
        plain = {key: "; ".join(map(str, one)) if isinstance(one, list) else one for key, one in values.items()}
        self = super().__new__(cls, template.format(**plain))
        self.template, self.values = template, values
        return self


def document(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """A value as JSON, in which such texts are ``{"template": ..., "values": {...}}``, those within them likewise."""
    if isinstance(value, Said):
        return {"template": value.template, "values": {key: document(one) for key, one in value.values.items()}}
    return [document(one) for one in value] if isinstance(value, list) else value
