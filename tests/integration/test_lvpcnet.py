"""LVPCnet's two stages: what the first one learned stays as it is, bit by bit, while prompts learn."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import engine
from safetensors.torch import load_file

from engine.cli.inspect import show_model
from engine.errors import RunError, TextEncoderError
from engine.language.descriptions import legend_path
from engine.language.vectors import ClassVectors
from engine.training.checkpoints import kept, newest
from engine.training.loop import Report, Training
from engine.training.recipe import Recipe
from engine.training.release import release

MakeRecipe = Callable[..., Recipe]
SENSORS = {"optical": "optical", "sar": "radar", "dem": "elevation"}
NETWORK = {"window": 3, "width": 16, "depth": 2, "heads": 2, "text_width": 512}


def overrides(encoder: object) -> list[str]:
    options = {"legend": "worldcover", "encoder": encoder, "sensors": SENSORS}
    schedule = {"epochs": 3, "samples": 24, "batch": 12, "validate_every": None, "keep_every": 6}
    stages = [
        {
            "name": "decouple",
            "method": {
                "scenarios": {"name": "complete", "options": {"strict": True}},
                "objectives": ["cross_entropy", {"name": "language_decoupling", "options": options}],
            },
            "schedule": schedule,
        },
        {
            "name": "compensate",
            "method": {
                "scenarios": "incomplete",
                "objectives": ["cross_entropy", {"name": "language_compensation", "options": options}],
            },
            "schedule": schedule,
            "trainable": ["prompts.*", "matches.*"],
        },
    ]
    return [
        f"network={json.dumps({'name': 'lvpcnet', 'options': NETWORK})}",
        "data.chip=3",
        "data.scaling=range",
        "data.few={per_class: 6, small: 3}",
        f"stages={json.dumps(stages)}",
    ]


@pytest.fixture(scope="module")
def run(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lvpcnet")
    Training(make_recipe(folder, overrides("hashed")), folder / "run", accelerator="cpu").run()
    return folder / "run"


def test_all_but_prompts_and_their_convolutions_is_frozen_bit_by_bit(run: Path) -> None:
    """Running statistics of norms too."""
    before = load_file(next(path for path in kept(run) if path.name.endswith("006")) / "weights.safetensors")
    last = newest(run / "checkpoints", "last")
    assert last is not None
    after = load_file(last / "weights.safetensors")
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    learning = {key for key in after if key.startswith(("network.prompts.", "network.matches."))}
    assert changed == learning
    assert len([key for key in learning if key.startswith("network.prompts.")]) == 6


def test_both_stages_log_what_they_align(run: Path) -> None:
    names = {line.split(",")[1] for line in (run / "metrics.csv").read_text().splitlines()}
    assert {f"decouple/loss/{term}" for term in ("cross_entropy", "language_shared", "language_specific")} <= names
    assert {"compensate/loss/cross_entropy", "compensate/loss/language_compensation"} <= names


def test_two_text_encoders_differ_in_nothing_but_their_vectors(
    run: Path, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Another encoder's vectors, shorter ones: the same weights and draws to begin with, other losses."""
    first = ClassVectors.load(run / "class-vectors.npz")
    rng = np.random.default_rng(0)
    kinds = {kind: rng.normal(size=(len(first.classes), 20)).astype(np.float32) for kind in first.kinds}
    ClassVectors(first.classes, kinds, "drawn").save(tmp_path / "drawn.npz")
    encoder = {"name": "vectors", "options": {"path": str(tmp_path / "drawn.npz")}}
    Training(make_recipe(tmp_path, overrides(encoder)), tmp_path / "run", accelerator="cpu").run()
    starts = [load_file(min(kept(one)) / "weights.safetensors") for one in (run, tmp_path / "run")]
    assert starts[0].keys() == starts[1].keys()
    assert all(torch.equal(value, starts[1][key]) for key, value in starts[0].items())
    rows = [
        {
            name: float(value)
            for step, name, value in (line.split(",") for line in (one / "metrics.csv").read_text().splitlines()[1:])
            if step == "1"
        }
        for one in (run, tmp_path / "run")
    ]
    assert rows[0]["decouple/loss/cross_entropy"] == rows[1]["decouple/loss/cross_entropy"]
    assert rows[0]["decouple/loss/language_shared"] != rows[1]["decouple/loss/language_shared"]


def test_a_model_says_what_its_texts_were_encoded_by_and_needs_no_legend(
    make_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a legend of one's own, which is gone by the time of the export."""
    legend = tmp_path / "mine.yaml"
    text = legend_path("worldcover").read_text(encoding="utf-8")
    legend.write_text(text.replace("name: worldcover\n", "name: own\n", 1), encoding="utf-8")
    first = json.loads(overrides("hashed")[-1].removeprefix("stages="))[0]
    first["method"]["objectives"][1]["options"]["legend"] = str(legend)
    smaller = ["network.options.depth=1", "network.options.compensation=none", f"stages={json.dumps([first])}"]
    changes = [*overrides("hashed"), *smaller]
    Training(make_recipe(tmp_path, changes), tmp_path / "run", accelerator="cpu").run()
    legend.unlink()
    facts = release(tmp_path / "run", tmp_path / "m.onnx", "last", ["network.options.stride=8"]).training
    digest = ClassVectors.load(tmp_path / "run" / "class-vectors.npz").digest
    said = f"texts of own by hashed n-grams, seed 0 (for tests), vectors {digest[:16]}"
    assert facts.method.endswith(f"; {said}")
    show_model(tmp_path / "m.onnx")
    assert said in capsys.readouterr().out.replace("\n", " ")


class StoppedError(Exception):
    """Ends a training after a step."""


def second_stage(
    make_recipe: MakeRecipe, folder: Path, run: Path, encoder: object, changes: dict[str, object]
) -> Recipe:
    """The second stage alone, from the weights of a run's first one."""
    stage = json.loads(overrides(encoder)[-1].removeprefix("stages="))[1] | changes
    start = json.dumps({"run": str(run), "checkpoint": "last"})
    return make_recipe(folder, [*overrides(encoder)[:-1], f"stages={json.dumps([stage])}", f"start={start}"])


def test_prompts_can_be_trained_without_their_convolutions(run: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = second_stage(make_recipe, tmp_path, run, "hashed", {"trainable": ["prompts.*"]})
    Training(recipe, tmp_path / "run", accelerator="cpu", say=said.append).run()
    assert "compensate: trains 384 in prompts.*" in said  # six pairs, two blocks, two prompts, 16 wide
    first, last = (newest(one / "checkpoints", "last") for one in (run, tmp_path / "run"))
    assert first is not None
    assert last is not None
    before, after = (load_file(one / "weights.safetensors") for one in (first, last))
    changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert changed == {key for key in after if key.startswith("network.prompts.")}


def test_what_weights_were_aligned_with_goes_on_with_them(run: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """Another encoder's vectors are refused: frozen projections never saw them."""
    recipe = second_stage(make_recipe, tmp_path, run, "hashed", {})
    Training(recipe, tmp_path / "run", accelerator="cpu").run()
    first, second = (ClassVectors.load(one / "class-vectors.npz") for one in (run, tmp_path / "run"))
    assert (first.digest, first.origin) == (second.digest, second.origin)
    recipe = second_stage(make_recipe, tmp_path, run, {"name": "hashed", "options": {"seed": 5}}, {})
    with pytest.raises(RunError, match=r"the encoder: found hashed n-grams, seed 0 .* the recipe has .* seed 5"):
        Training(recipe, tmp_path / "other", accelerator="cpu").run()


def test_weights_of_other_sensors_bring_no_texts(run: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """Whose features learn what is said of the new ones."""
    recipe = second_stage(make_recipe, tmp_path, run, {"name": "hashed", "options": {"seed": 5}}, {})
    assert recipe.start is not None
    start = recipe.start.model_copy(update={"modalities": {"optical": "optical", "sar": "dem"}})
    Training(recipe.model_copy(update={"start": start}), tmp_path / "run", accelerator="cpu").run()
    assert "seed 5" in ClassVectors.load(tmp_path / "run" / "class-vectors.npz").origin


def test_prompts_that_have_nothing_to_learn_from_are_said(run: Path, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """No sample lacks a sensor."""
    method = json.loads(overrides("hashed")[-1].removeprefix("stages="))[1]["method"] | {"scenarios": "complete"}
    recipe = second_stage(make_recipe, tmp_path, run, "hashed", {"method": method})
    scenes = tuple(scene for scene in recipe.data.scenes if scene.name == "first")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"scenes": scenes})})
    for resume in (False, True):
        with pytest.raises(RunError, match=r"stage compensate has changed nothing.*prompts\.\*.*scenarios: incomplete"):
            Training(recipe, tmp_path / "run", accelerator="cpu", resume=resume).run()


def test_a_resume_needs_no_legend(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """From the command line, whose recipe names one that is gone."""
    legend = tmp_path / "mine.yaml"
    legend.write_text(legend_path("worldcover").read_text(encoding="utf-8"), encoding="utf-8")
    changes = [text.replace("worldcover", str(legend)) for text in overrides("hashed")]

    def stop(report: Report) -> None:
        if report.step == 8:  # in the second stage
            raise StoppedError

    recipe = make_recipe(tmp_path, changes)
    with pytest.raises(StoppedError):
        Training(recipe, tmp_path / "run", accelerator="cpu", report=stop).run()
    legend.unlink()
    arguments = [part for text in changes for part in ("--set", text)]
    words = ["train", tmp_path / "recipe.yaml", "-o", tmp_path / "run", "--device", "cpu", *arguments]
    done = engine(*words)
    assert done.returncode == 2
    assert "mine.yaml: no such file" in done.stderr
    done = engine(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert "12 steps" in done.stdout


def dropping(make_recipe: MakeRecipe, folder: Path) -> Recipe:
    """Batches of the second stage that lack no sensor at all among others."""
    content = json.loads(overrides("hashed")[-1].removeprefix("stages="))
    content[0]["schedule"] = content[1]["schedule"] | {"epochs": 1}
    content[1]["schedule"] |= {"epochs": 1, "batch": 3, "checkpoint_every": 1, "keep_every": None}
    content[1]["method"]["scenarios"] = "dropout"
    scene = "data.scenes=[{name: first, labels: {path: first/labels.tif}, sources: " + json.dumps(
        {name: f"first/{name}.tif" for name in SENSORS}
    )
    return make_recipe(folder, [*overrides("hashed")[:-1], f"stages={json.dumps(content)}", scene + "}]"])


def compensated(run: Path) -> dict[int, float]:
    rows = [line.split(",") for line in (run / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    return {int(row[0]): float(row[2]) for row in rows if row[1] == "compensate/loss/language_compensation"}


def test_batches_that_teach_prompts_nothing_pass_and_a_resume_behind_one_is_the_same(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    Training(dropping(make_recipe, tmp_path), tmp_path / "whole", accelerator="cpu").run()
    losses = compensated(tmp_path / "whole")
    idle = [step for step, loss in losses.items() if loss == 0]
    assert 0 < len(idle) < len(losses)
    for step in (idle[0], max(losses) - 1):
        folder = tmp_path / f"stopped-{step}"

        def stop(report: Report, last: int = step) -> None:
            if report.step == last:
                raise StoppedError

        with pytest.raises(StoppedError):
            Training(dropping(make_recipe, tmp_path), folder, accelerator="cpu", report=stop).run()
        Training(dropping(make_recipe, tmp_path), folder, resume=True, accelerator="cpu").run()
        weights = [
            load_file(run / "checkpoints" / f"last-{max(losses):09d}" / "weights.safetensors")
            for run in (tmp_path / "whole", folder)
        ]
        assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_an_encoder_that_fails_is_named_by_its_place_in_the_recipe(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """A folder that is there, but holds no model."""
    (tmp_path / "clip").mkdir()
    recipe = make_recipe(tmp_path, overrides({"name": "clip", "options": {"model": str(tmp_path / "clip")}}))
    with pytest.raises(TextEncoderError, match=r"^stages\.0\.method\.objectives\.1: .*clip: cannot be loaded"):
        Training(recipe, tmp_path / "run", accelerator="cpu").run()
