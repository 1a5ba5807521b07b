"""Modalities called by a word of Python: torch writes the names of parameters into code when it exports them."""

from __future__ import annotations

import keyword
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from torch import nn


class _Modules(nn.ModuleDict):
    """Finds under its old name what has another one now."""

    renamed: dict[str, str]

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 (as torch has it)
        return self._modules[self.renamed.get(key, key)]


class _Parameters(nn.ParameterDict):
    """Finds under its old name what has another one now."""

    renamed: dict[str, str]

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 (as torch has it)
        return getattr(self, self.renamed.get(key, key))


@contextmanager
def without_keywords(network: nn.Module) -> Iterator[None]:
    """Lets no parameter of a network have a name with a word of Python in it, which its modalities may have.

    Args:
        network: Holds what is a modality's own in dicts of modules and parameters; it is as it was when the block ends.
    """
    changed: list[tuple[Any, type, dict[str, Any]]] = []
    try:
        for module in [*network.modules()]:
            kind, held = type(module), _held(module)
            renamed = {key: f"{key}-" for key in held if keyword.iskeyword(key)}  # which no other modality has
            if renamed and kind in (nn.ModuleDict, nn.ParameterDict):
                changed.append((module, kind, dict(held)))
                _fill(held, {renamed.get(key, key): value for key, value in held.items()})
                module.__class__ = _Modules if kind is nn.ModuleDict else _Parameters
                object.__setattr__(module, "renamed", renamed)
        yield
    finally:
        for module, kind, before in changed:
            object.__delattr__(module, "renamed")
            module.__class__ = kind
            _fill(_held(module), before)


def _held(module: nn.Module) -> MutableMapping[str, Any]:
    return module._parameters if isinstance(module, nn.ParameterDict) else module._modules


def _fill(held: MutableMapping[str, Any], content: dict[str, Any]) -> None:
    held.clear()
    held.update(content)
