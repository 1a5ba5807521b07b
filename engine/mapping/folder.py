"""Every scene of a folder, one map each: what fails is told, and the rest done; what is there already stays."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import Cancelled, DeviceError, EngineError, InputError, RasterReadError
from engine.files import make_folder
from engine.mapping.assignment import assign
from engine.mapping.matching import match
from engine.mapping.predict import Listener, predict
from engine.mapping.request import map_request
from engine.model.file import Model
from engine.raster.folders import is_raster
from engine.raster.pools import Layer
from engine.raster.sources import SourceSpec

SCENE = "{scene}"
"""What stands for a scene's name in a pattern."""

_LAYERS = ("confidence", "availability")


class FolderOptions(BaseModel):
    """Which scenes to map, and how.

    Args:
        folder: Where they lie.
        output: The folder of the maps, each called as its scene.
        pattern: What their files are called; see :func:`scenes_of`.
        assignment: Which file is which modality, the same in every scene; found out where empty. Files are named
            within the scene's folder or, with a pattern, within the folder of all; ``{scene}`` stands for the name.
        confidence: Also write the confidence of each map, as ``SCENE_confidence.tif``.
        availability: Also write the availability of each map, as ``SCENE_availability.tif``.
        overwrite: Map again what is there.
        map: Other options of every map, as :class:`~engine.mapping.request.MapOptions` calls them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    output: Path
    pattern: str = ""
    assignment: str = ""
    confidence: bool = False
    availability: bool = False
    overwrite: bool = False
    map: dict[str, Any] = Field(default={})


@dataclass(frozen=True)
class SceneMap:
    """What came of a scene.

    Args:
        scene: Its name.
        state: ``mapped`` now, ``there`` already, or ``failed``.
        path: The map.
        sensors: That it was mapped from; empty where it was not mapped now.
        seconds: Wall time.
        text: Why it failed.
    """

    scene: str
    state: Literal["mapped", "there", "failed"]
    path: Path
    sensors: str = ""
    seconds: float = 0.0
    text: str = ""


def scenes_of(folder: Path, pattern: str = "", maps: Path | None = None) -> dict[str, list[Path]]:
    """The rasters of each scene of a folder.

    Args:
        folder: The folder.
        pattern: How a scene's files are called within it: ``{scene}`` for the scene's name, ``*`` for anything but a
            ``/``. Without a pattern each subfolder is a scene.
        maps: A folder that is none, though it may lie within.

    Raises:
        InputError: If the pattern has no ``{scene}``, or ``maps`` is the folder itself.
        RasterReadError: If there is no scene.
    """
    found: dict[str, list[Path]] = {}
    if not folder.is_dir():
        raise RasterReadError(f"{folder}: is no folder; name the one that holds the scenes")
    if maps is not None and maps.resolve() == folder.resolve():
        raise InputError(f"{maps}: holds the scenes; name another folder for the maps, which may lie within it")
    rasters = sorted(path for path in folder.rglob("*") if is_raster(path))
    if maps is not None:
        whole = folder.resolve()
        rasters = [path for path in rasters if not (whole / path.relative_to(folder)).is_relative_to(maps.resolve())]
    if not pattern:
        for path in rasters:
            scene, *within = path.relative_to(folder).parts
            if within and not scene.startswith("."):
                found.setdefault(scene, []).append(path)
        if not found:
            raise RasterReadError(
                f"{folder}: none of its subfolders holds a raster; each scene has one, or a pattern says what belongs "
                f"together, as in {SCENE}_*.tif"
            )
        return found
    if pattern.count(SCENE) != 1:
        raise InputError(f"pattern {pattern!r}: {SCENE} must stand in it once, as in {SCENE}_*.tif")
    form = re.escape(pattern).replace(re.escape(SCENE), "(?P<scene>[^/]+)").replace(r"\*", "[^/]*?")
    for path in rasters:
        named = re.fullmatch(form, path.relative_to(folder).as_posix())
        if named is not None:
            found.setdefault(named["scene"], []).append(path)
    if not found:
        raise RasterReadError(f"{folder}: no raster in it is called as {pattern!r} says; * stands for anything")
    return found


def map_folder(model: Model, options: FolderOptions, listener: Listener, told: Callable[[str], None]) -> list[SceneMap]:
    """Maps every scene of a folder, each from whichever of the model's modalities it has.

    A scene whose map is there already is passed over, and one that was begun goes on where it was; so a run that was
    stopped is taken up by the same call. A scene that fails is told, and the next one mapped.

    Args:
        model: The model.
        options: What to map.
        listener: Told of progress over all scenes, and asked whether to stop.
        told: Told each scene with its files.

    Raises:
        RasterReadError: If there is no scene.
        InputError: If the pattern has no ``{scene}``, or an option is wrong.
        OutputError: If the folder cannot be made.
        DeviceError: If the device cannot be used.
        Cancelled: If the listener said so.
    """
    scenes = scenes_of(options.folder, options.pattern, options.output)
    make_folder(options.output)
    found = []
    for number, (scene, rasters) in enumerate(scenes.items()):
        one = replace(
            listener,
            warned=lambda text, scene=scene: listener.warned(f"{scene}: {text}"),  # type: ignore[misc]
            expected=lambda _estimate: None,
            progress=lambda share, number=number: listener.progress((number + share) / len(scenes)),  # type: ignore[misc]
        )
        path = options.output / f"{scene}.tif"
        if path.exists() and not options.overwrite:
            found.append(SceneMap(scene, "there", path))
            told(f"{scene}: {path} is there already")
        else:
            try:
                found.append(_mapped(model, options, scene, rasters, one, told))
            except (Cancelled, DeviceError):
                raise
            except EngineError as error:
                found.append(SceneMap(scene, "failed", path, text=str(error)))
                listener.warned(f"{scene}: {error}")
        listener.progress((number + 1) / len(scenes))
    return found


def _mapped(
    model: Model,
    options: FolderOptions,
    scene: str,
    rasters: Sequence[Path],
    listener: Listener,
    told: Callable[[str], None],
) -> SceneMap:
    started = time.monotonic()
    root = options.folder if options.pattern else options.folder / scene
    layers = [Layer(path.relative_to(root).as_posix(), SourceSpec(str(path))) for path in rasters]
    assignment = options.assignment.replace(SCENE, scene)
    sources = assign(model, assignment, layers) if assignment.strip() else match(model, layers).sources
    files = ", ".join(f"{name}={spec}" for name, many in sources.items() for spec in many)
    told(f"{scene}: {files}")
    wanted = {name: options.output / f"{scene}_{name}.tif" for name in _LAYERS if getattr(options, name)}
    request = map_request(
        **{"unfinished": "replace", **options.map, **wanted},
        model=model.path,
        sources=sources,
        output=options.output / f"{scene}.tif",
        overwrite=options.overwrite,
    )
    predict(request, listener)
    sensors = "+".join(name for name in model.names if name in sources)
    return SceneMap(scene, "mapped", request.output, sensors, time.monotonic() - started)
