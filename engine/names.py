"""Texts that come from files of others: which of their characters no name may have, and how a message shows them."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that steer what shows a text: controls, halves of pairs, ends of lines and paragraphs."""

_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Marks that turn the direction of writing, by which one name looks like another; and that of the order of bytes."""


def _steers(character: str) -> bool:
    return character in _TURNS or unicodedata.category(character) in _HIDDEN


def steering(name: str) -> str | None:
    """The first character of a name that steers a terminal or page instead of being shown, as ``U+0000``."""
    return next((f"U+{ord(one):04X}" for one in name if _steers(one)), None)


def shown(text: object) -> str:
    """A text as one line of a message can hold it: what steers is spelled out."""
    return "".join(f"<U+{ord(one):04X}>" if _steers(one) else one for one in str(text))
