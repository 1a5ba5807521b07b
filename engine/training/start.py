"""The network that a training starts with from a run, which may have other classes, sensors or bands.

What stands at which place of a tensor is told by shapes alone: an axis that grows when a network gets another class has
one place a class, one that grows with a sensor's bands one place a band.

A band that the run did not know starts as the mean over the sensor's bands that both have, times their number over the
recipe's number of bands: how `timm` inflates first convolutions (``adapt_input_conv``), after J. Carreira and A.
Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import yaml
from torch import Tensor

from engine.errors import RecipeError
from engine.language.descriptions import plain_name
from engine.modality import LandClass, Modality
from engine.names import shown
from engine.networks.registry import network_options, unbuilt_network
from engine.networks.segmenter import Segmenter
from engine.training.checkpoints import find, step_of
from engine.training.recipe import Recipe, StartSettings
from engine.training.run import build_segmenter, open_checkpoint, recipe_of, unpretrained

_Label = tuple[str, str]
"""A sensor and its band, or nothing and the place of a class."""


@dataclass(frozen=True)
class _Origin:
    """Where weights of a class or band come from: the mean over some of the run, times a factor; 1 copies one."""

    labels: tuple[_Label, ...]
    factor: float = 1.0


_Known = dict[_Label, _Origin]
_Labels = dict[tuple[str, int], list[_Label]]
"""By tensor and axis."""

_Places = tuple[tuple[int, ...], float]
"""Places along an axis of the run's tensor, and the factor of their mean."""


def open_start(
    recipe: Recipe, start: StartSettings, modalities: Sequence[Modality], say: Callable[[str], None]
) -> Segmenter:
    """The network that a recipe starts with, with the weights of a run as far as both have the same.

    Args:
        recipe: The recipe.
        start: Its run.
        modalities: The recipe's, with the statistics of its own training pixels.
        say: Told in lines what is taken, what is new and what of the run is left.

    Raises:
        RecipeError: If the run has another network than the recipe, or other modalities or classes of which the recipe
            does not say what becomes of them.
        RunError: If it is no run, or has no such checkpoint.
    """
    theirs, checkpoint = recipe_of(start.run), find(start.run, start.checkpoint)
    trained = open_checkpoint(theirs, start.run, checkpoint)
    _check_same(theirs, recipe, start)
    sensors = _matched_sensors(theirs, recipe, start)
    classes = _matched_classes(theirs.class_values, recipe.class_values, start)
    known: _Known = {("", str(new)): _Origin((("", str(old)),)) for new, old in classes.items()}
    there = {modality.name: modality for modality in trained.modalities}
    own, keeping, lines = [], [], []
    for modality in modalities:
        given = there.get(sensors.get(modality.name, ""))
        kept = given is not None and _alike(given, modality)
        own.append(replace(given, name=modality.name) if given is not None and kept else modality)
        keeping += [modality.name] if kept else []
        bands = {} if given is None else _matched_bands(given, modality)
        known |= bands
        lines.append(f"{modality.name}: {_sensor_words(given, modality, bands, kept)}")
    segmenter = build_segmenter(unpretrained(recipe), own)
    for name in keeping:
        for part in ("offset", "scale"):
            segmenter.get_buffer(f"{part}_{name}").copy_(trained.get_buffer(f"{part}_{sensors[name]}"))
    counts = _transfer(trained, theirs, segmenter, recipe, sensors, known)
    say(f"starts from step {step_of(checkpoint):,} of the run {shown(start.run.name)}")
    say(f"  classes: {_class_words(theirs.class_values, recipe.class_values, classes)}")
    for line in lines:
        say(f"  {line}")
    if segmenter.network.by_place and (told := _displaced(trained, segmenter, sensors)):
        say(f"  Warning: {told}")
    if left := sorted(there.keys() - sensors.values()):
        say(f"  left: {', '.join(left)}")
    say("  weights: {:,} taken, {:,} new, {:,} of the run left".format(*counts))
    return segmenter


def _check_same(theirs: Recipe, recipe: Recipe, start: StartSettings) -> None:
    def network(one: Recipe) -> tuple[str, object]:
        found = unpretrained(one).network
        return found.name, network_options(found.name, found.options)

    for key, there, here in (
        ("network", network(theirs), network(recipe)),
        ("data.scaling", theirs.data.scaling, recipe.data.scaling),
    ):
        if there != here:
            raise RecipeError(f"start.run: {start.run}: key {key} differs; the run's: {there}; the recipe's: {here}")


def _line(mapping: Mapping[str, str]) -> str:
    """A mapping as a recipe has it, in one line."""
    return yaml.safe_dump(
        dict(mapping), default_flow_style=True, sort_keys=False, allow_unicode=True, width=1e9
    ).strip()


def _described(recipe: Recipe) -> str:
    return "; ".join(
        f"{item.name} ({', '.join(map(shown, item.bands))}), {item.dtype}, {item.values}, unit {shown(item.unit)!r}"
        for item in recipe.modalities
    )


def _matched_sensors(theirs: Recipe, recipe: Recipe, start: StartSettings) -> dict[str, str]:
    """For sensors of the recipe those of the run whose weights they take.

    Raises:
        RecipeError: If they differ and the recipe does not say, or if it names one that is not there.
    """
    there, here = [item.name for item in theirs.modalities], [item.name for item in recipe.modalities]
    if not start.modalities:
        if theirs.modalities != recipe.modalities:
            mapping = _line({name: name for name in here if name in there} or {here[0]: there[0]})
            raise RecipeError(
                f"start.run: {start.run}: key modalities differs; the run's: {_described(theirs)}; the recipe's: "
                f"{_described(recipe)}. Say whose weights each takes (new: old), as in start.modalities: {mapping}; "
                "those that it does not name start from random weights"
            )
        return {name: name for name in here}
    for names, known, whose in (
        (start.modalities.keys(), here, "the recipe's"),
        (start.modalities.values(), there, "the run's"),
    ):
        if unknown := sorted(set(names) - set(known)):
            raise RecipeError(f"start.modalities: {unknown[0]} is none of {whose}: {', '.join(sorted(known))}")
    return dict(start.modalities)


def _listed(classes: Sequence[LandClass]) -> str:
    return ", ".join(f"{item.value} {shown(item.name)}" for item in classes)


def _matched_classes(theirs: Sequence[LandClass], ours: Sequence[LandClass], start: StartSettings) -> dict[int, int]:
    """For places of the recipe's classes those of the run's classes whose weights they take.

    Raises:
        RecipeError: If classes agree by value or by name alone and the recipe does not say what becomes of them, or
            if it names one that is not there.
    """
    both = f"the run's classes: {_listed(theirs)}; the recipe's: {_listed(ours)}"
    if start.classes is not None:
        found = {}
        for new, old in start.classes.items():
            for name, classes, whose in ((new, ours, "the recipe's"), (old, theirs, "the run's")):
                named = sum(item.name == name for item in classes)
                if named != 1:
                    raise RecipeError(f"start.classes: {shown(name)} is {named or 'none'} of {whose} classes; {both}")
            found[[item.name for item in ours].index(new)] = [item.name for item in theirs].index(old)
        return found
    alike = [
        (new, old, ours[new].value == theirs[old].value, plain_name(ours[new].name) == plain_name(theirs[old].name))
        for new in range(len(ours))
        for old in range(len(theirs))
    ]
    doubts = [(new, old) for new, old, value, name in alike if value != name]
    if doubts:
        told = "; ".join(f"{_listed([ours[new]])} may be the run's {_listed([theirs[old]])}" for new, old in doubts)
        mapping = _line({ours[new].name: theirs[old].name for new, old, _, name in alike if name})
        raise RecipeError(
            f"start.run: {start.run}: classes agree by value or by name alone: {told}. Say whose weights each takes "
            f"(new: old), as in start.classes: {mapping}; classes that it does not name are new, all of them with "
            f"{{}}; {both}"
        )
    return {new: old for new, old, value, _ in alike if value}


def _class_words(theirs: Sequence[LandClass], ours: Sequence[LandClass], classes: Mapping[int, int]) -> str:
    def as_there(new: int, old: int) -> str:
        here, there = ours[new].name, theirs[old].name
        return shown(here if plain_name(here) == plain_name(there) else f"{here} from {there}")

    parts = {
        "taken": [as_there(new, old) for new, old in sorted(classes.items())],
        "new": [shown(item.name) for new, item in enumerate(ours) if new not in classes],
        "of the run left": [shown(item.name) for old, item in enumerate(theirs) if old not in classes.values()],
    }
    return "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in parts.items() if names)


def _alike(given: Modality, modality: Modality) -> bool:
    """Whether two sensors' numbers mean the same, so that what is known of the one's values holds for the other's."""
    return all(getattr(given, key) == getattr(modality, key) for key in ("bands", "dtype", "unit", "values"))


def _matched_bands(given: Modality, modality: Modality) -> _Known:
    """Where a sensor's bands take their weights from: by name, or in their order where none is common."""
    common = [band for band in modality.bands if band in given.bands]
    if not common and len(given.bands) == len(modality.bands):
        pairs = zip(modality.bands, given.bands, strict=True)
        return {(modality.name, band): _Origin(((given.name, other),)) for band, other in pairs}
    if not common:
        return {}
    labels = tuple((given.name, band) for band in common)
    mean = _Origin(labels, len(common) / len(modality.bands))
    return {
        (modality.name, band): _Origin(((given.name, band),)) if band in common else mean for band in modality.bands
    }


def _sensor_words(given: Modality | None, modality: Modality, bands: _Known, kept: bool) -> str:
    if given is None:
        return "new"
    common = [band for band in modality.bands if band in given.bands]
    words = f"as the run's {given.name}, with {'the statistics of the run' if kept else 'its own statistics'}"
    if given.bands == modality.bands:
        return words
    if not bands:
        return f"{words}; none of its bands is the run's: their input weights are new"
    if not common:
        return f"{words}; none of its bands is the run's: they take their input weights in their order"
    fresh = [shown(band) for band in modality.bands if band not in given.bands]
    added = f"; {', '.join(fresh)}: the mean of these" if fresh else ""
    return f"{words}; input weights of {', '.join(map(shown, common))}{added}"


def _displaced(trained: Segmenter, segmenter: Segmenter, sensors: Mapping[str, str]) -> str:
    """What to know where sensors stand at other places than in the run; nothing where they do not."""
    there, here = trained.network.names, segmenter.network.names
    if all(there[place : place + 1] == (sensors[name],) for place, name in enumerate(here) if name in sensors):
        return ""
    return (
        f"where sensors meet, the network's weights go by the sensors' places: the run had {', '.join(there)} in this "
        f"order, the recipe has {', '.join(here)}; list them as the run did, new ones last"
    )


def _labels(recipe: Recipe) -> _Labels:
    """What stands at each place of the tensors of a recipe's network, along axes of classes and bands.

    Raises:
        RecipeError: If an axis grows with them, but not by a place each.
    """
    name, options = recipe.network.name, recipe.network.options
    bands = {item.name: len(item.bands) for item in recipe.modalities}

    def shapes(bands: Mapping[str, int], classes: int) -> dict[str, torch.Size]:
        return {key: value.shape for key, value in unbuilt_network(name, options, bands, classes).state_dict().items()}

    plain = shapes(bands, len(recipe.classes))

    def growing(other: Mapping[str, torch.Size]) -> Iterator[tuple[str, int]]:
        for key, shape in plain.items():
            yield from ((key, axis) for axis, size in enumerate(shape) if other[key][axis] != size)

    found: _Labels = {}
    for place in growing(shapes(bands, len(recipe.classes) + 1)):
        found[place] = [("", str(number)) for number in range(len(recipe.classes))]
    for item in recipe.modalities:
        try:
            more = shapes({**bands, item.name: bands[item.name] + 1}, len(recipe.classes))
        except RecipeError:  # CBC takes no more bands than its depth, and has no weights of single bands
            continue
        for place in growing(more):
            found.setdefault(place, []).extend((item.name, band) for band in item.bands)
    for (key, axis), labels in found.items():
        if len(labels) != plain[key][axis]:
            raise RecipeError(f"start.run: {name} does not keep classes and bands apart in {key}; start it without")
    return found


def _transfer(
    trained: Segmenter, theirs: Recipe, segmenter: Segmenter, recipe: Recipe, sensors: Mapping[str, str], known: _Known
) -> tuple[int, int, int]:
    """Puts a run's weights into a network; how many are taken, how many are new, and how many of the run are left."""
    given, state = trained.network.state_dict(), segmenter.network.state_dict()
    there, here = _labels(theirs), _labels(recipe)
    used, taken = (
        {key: torch.zeros_like(value, dtype=torch.bool) for key, value in one.network.named_parameters()}
        for one in (trained, segmenter)
    )
    for key, fresh in state.items():
        source = _key_there(key, {item.name for item in recipe.modalities}, sensors)
        if source not in given or fresh.dim() != given[source].dim():
            continue
        places = {
            axis: _places(here[key, axis], there[source, axis], known)
            for axis in range(fresh.dim())
            if (key, axis) in here and (source, axis) in there
        }
        sizes = zip(fresh.shape, given[source].shape, strict=True)
        if any(size != other and axis not in places for axis, (size, other) in enumerate(sizes)):
            continue  # as where all sensors' features meet, of which there are more or fewer
        _put(fresh, given[source], list(places.items()))
        if key in taken:
            copied = {
                axis: [(new, old[0]) for new, (old, factor) in enumerate(places[axis]) if factor == 1]
                for axis in places
            }
            _mark(taken[key], [(axis, [new for new, _ in pairs]) for axis, pairs in copied.items()])
            _mark(used[source], [(axis, [old for _, old in pairs]) for axis, pairs in copied.items()])
    counts = [sum(int(mask.sum()) for mask in masks.values()) for masks in (taken, used)]
    whole = [sum(mask.numel() for mask in masks.values()) for masks in (taken, used)]
    return counts[0], whole[0] - counts[0], whole[1] - counts[1]


def _key_there(key: str, names: set[str], sensors: Mapping[str, str]) -> str | None:
    """What the run calls a tensor; None where it is that of a sensor which takes no weights."""
    first, *parts = key.split(".")  # no network's first word is a sensor's name
    if any(part in names and part not in sensors for part in parts):
        return None
    return ".".join([first, *(sensors.get(part, part) for part in parts)])


def _places(here: Sequence[_Label], there: Sequence[_Label], known: _Known) -> list[_Places]:
    """For each place of an axis those of the run's whose mean, times a factor, it takes; none where it is new."""
    known_there = {label: place for place, label in enumerate(there)}
    found: list[_Places] = []
    for label in here:
        origin = known.get(label)
        if origin is None or any(one not in known_there for one in origin.labels):
            found.append(((), 0.0))
        else:
            found.append((tuple(known_there[one] for one in origin.labels), origin.factor))
    return found


def _put(fresh: Tensor, given: Tensor, axes: Sequence[tuple[int, Sequence[_Places]]]) -> None:
    """Puts what is known along some axes into a tensor, and all of what lies along the others.

    A mean is only taken of what a band is multiplied with, along the inputs; what gives a band's values is new.
    """
    if not axes:
        fresh.copy_(given)
        return
    (axis, places), *others = axes
    for new, (old, factor) in enumerate(places):
        if factor == 1 or (old and axis > 0):
            chosen = given.index_select(axis, torch.tensor(old, device=given.device))
            _put(fresh.narrow(axis, new, 1), chosen.mean(axis, keepdim=True) * factor, others)


def _mark(mask: Tensor, axes: Sequence[tuple[int, Sequence[int]]]) -> None:
    """Sets what lies at some places along some axes, and anywhere along the others."""
    if not axes:
        mask.fill_(value=True)
        return
    (axis, places), *others = axes
    for place in places:
        _mark(mask.narrow(axis, place, 1), others)
