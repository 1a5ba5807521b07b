"""Availability and scenarios: which of a model's M modalities were observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from engine.errors import ModalityError


@dataclass(frozen=True)
class Scenario:
    """One non-empty subset of M modalities, in the model's order of modalities.

    Args:
        members: For each modality, whether the scenario has it.

    Raises:
        ModalityError: If no modality is a member.
    """

    members: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not any(self.members):
            raise ModalityError(
                f"a scenario needs at least one of its {len(self.members)} modalities; none is a member"
            )

    @classmethod
    def of(cls, present: Iterable[str], names: Sequence[str]) -> Scenario:
        """The scenario of the modalities ``present`` among all ``names``."""
        chosen = set(present)
        unknown = chosen - set(names)
        if unknown:
            raise ModalityError(f"unknown modality {', '.join(sorted(unknown))}: the model has {', '.join(names)}")
        return cls(tuple(name in chosen for name in names))

    @property
    def indices(self) -> tuple[int, ...]:
        """The positions of the members."""
        return tuple(index for index, member in enumerate(self.members) if member)

    @property
    def bits(self) -> int:
        """The members as a bit mask: bit m is set when modality m is a member."""
        return sum(1 << index for index in self.indices)

    @property
    def code(self) -> str:
        """The members as the papers write them: ``110`` has the first two of three."""
        return "".join("1" if member else "0" for member in self.members)

    def label(self, names: Sequence[str]) -> str:
        """The members' names, as in ``rgb+dem``."""
        return "+".join(names[index] for index in self.indices)

    def __le__(self, other: Scenario) -> bool:
        """Whether every member is one of ``other``'s too."""
        return self.bits & ~other.bits == 0


def scenarios(count: int) -> tuple[Scenario, ...]:
    """All 2^M - 1 scenarios of ``count`` modalities in the papers' order: singles, pairs, ..., all."""
    return tuple(
        Scenario(tuple(index in chosen for index in range(count)))
        for size in range(1, count + 1)
        for chosen in combinations(range(count), size)
    )


def from_bits(bits: int, count: int) -> Scenario:
    """The scenario whose :attr:`Scenario.bits` are ``bits``."""
    return Scenario(tuple(bool(bits >> index & 1) for index in range(count)))
