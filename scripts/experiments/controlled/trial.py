"""What the controlled experiments share: groups of paired arms, effects with intervals and power, short trainings.

A *group* is one draw of data and starting weights; every *arm* of a group sees the same. An *effect* is a difference
between two arms that a method's mechanism predicts; it is estimated from the groups' paired differences. Rows go to a
CSV as groups end, and what stands there is not done again, so that an experiment can be stopped at any time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

sys.path.append(str(Path(__file__).parents[1]))
from common import ROOT, Results, Rows, run

if TYPE_CHECKING:
    from torch import Tensor

    from engine.methods.contract import Method
    from engine.networks.segmenter import Segmenter

FOLDER = ROOT / "docs" / "experiments" / "controlled"
Inputs = Mapping[str, "Tensor"]
Work = Callable[[int, str], Rows]
"""Does one part of a group: rows with ``arm``, ``measure`` and ``value``, a share of one."""


@dataclass(frozen=True)
class Effect:
    """By how many points one arm is above another, which the mechanism predicts to be more than zero.

    Args:
        arm: What is judged.
        reference: What it is compared with.
        measure: In which figure.
        least: The smallest difference in points that would matter; power is stated for it.
        measure_of_reference: The reference's figure where it is another one.
    """

    arm: str
    reference: str
    measure: str
    least: float
    measure_of_reference: str | None = None


@dataclass(frozen=True)
class Finding:
    """An effect as it was found.

    Args:
        effect: Which.
        groups: How many groups have both arms.
        points: Mean of the paired differences, in points.
        half: Half of its 95 % interval, by Student's t.
        deviation: Of a group's difference.
    """

    effect: Effect
    groups: int
    points: float
    half: float
    deviation: float

    @property
    def shown(self) -> bool:
        """Whether all of the interval lies above zero."""
        return self.points - self.half > 0

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.shown:
            return "shown"
        return "the other way" if self.points + self.half < 0 else "not told from nothing"

    @property
    def power(self) -> float:
        """The chance that so many groups of this deviation show a difference of ``least`` points."""
        return power(self.effect.least, self.deviation, self.groups)

    @property
    def needed(self) -> int:
        """Groups for which that chance is 80 %; the most that is looked at is 10 000."""
        for groups in range(2, 10_000):
            if power(self.effect.least, self.deviation, groups) >= 0.8:
                return groups
        return 10_000


def power(points: float, deviation: float, groups: int) -> float:
    """The chance that a two-sided paired t-test at 5 % finds a true difference of ``points``, and its sign.

    By the noncentral t distribution.

    Args:
        points: The true mean difference.
        deviation: Of a group's difference.
        groups: How many.
    """
    if groups < 2:
        return 0.0
    if deviation == 0:
        return 1.0
    limit = stats.t.ppf(0.975, groups - 1)
    return float(stats.nct.sf(limit, groups - 1, points / deviation * groups**0.5))


@dataclass(frozen=True)
class Experiment:
    """A controlled experiment.

    Args:
        name: Of its CSV.
        work: Does one part of a group.
        effects: What the mechanism predicts.
        groups: How many it has.
        parts: What can be done apart within a group; each has one arm or several.
    """

    name: str
    work: Work
    effects: Sequence[Effect]
    groups: int
    parts: Sequence[str] = ("all",)

    def results(self, folder: Path = FOLDER) -> Results:
        """Its table."""
        return Results(folder / f"{self.name}.csv", ("group", "part", "arm", "measure", "value"))

    def do(self, groups: Sequence[int], parallel: int, folder: Path = FOLDER) -> bool:
        """Does what is missing of the groups; whether all went well."""
        results = self.results(folder)
        there = {(int(row["group"]), row["part"]) for row in results.read()}
        jobs = [(group, part) for group in groups for part in self.parts if (group, part) not in there]
        return run(jobs, partial(_job, self.work), results, parallel)

    def findings(self, folder: Path = FOLDER) -> list[Finding]:
        """Every effect that two groups or more have."""
        values = self._values(folder)
        found = []
        for effect in self.effects:
            one = values.get((effect.arm, effect.measure), {})
            other = values.get((effect.reference, effect.measure_of_reference or effect.measure), {})
            common = sorted(one.keys() & other.keys())
            if len(common) < 2:
                continue
            points = 100 * np.array([one[group] - other[group] for group in common])
            deviation = float(points.std(ddof=1))
            half = float(stats.t.ppf(0.975, len(common) - 1)) * deviation / len(common) ** 0.5
            found.append(Finding(effect, len(common), float(points.mean()), half, deviation))
        return found

    def _values(self, folder: Path) -> dict[tuple[str, str], dict[int, float]]:
        values: dict[tuple[str, str], dict[int, float]] = {}
        for row in self.results(folder).read():
            values.setdefault((row["arm"], row["measure"]), {})[int(row["group"])] = float(row["value"])
        return values

    def show(self, folder: Path = FOLDER) -> None:
        """Prints means of all arms and all effects, as Markdown."""
        values = self._values(folder)
        measures = list(dict.fromkeys(measure for _, measure in values))
        print("| arm | groups | " + " | ".join(measures) + " |\n" + "|---" * (len(measures) + 2) + "|")
        for arm in dict.fromkeys(arm for arm, _ in values):
            own = [values.get((arm, measure), {}) for measure in measures]
            words = [f"{np.mean(list(one.values())):.3f}" if one else "" for one in own]
            print(f"| {arm} | {max(map(len, own))} | " + " | ".join(words) + " |")
        print(
            "\n| effect | on | groups | points | deviation of a group | power for | groups for 80 % | |\n"
            + "|---" * 8
            + "|"
        )
        for one in self.findings(folder):
            effect = one.effect
            print(
                f"| {effect.arm} - {effect.reference} | {effect.measure} | {one.groups} | "
                f"{one.points:+.2f} ± {one.half:.2f} | {one.deviation:.2f} | {effect.least:g}: {one.power:.0%} | "
                f"{one.needed} | {one.verdict} |"
            )


def _job(work: Work, job: tuple[int, str]) -> Rows:
    import torch

    torch.set_num_threads(1)
    group, part = job
    return [{"group": group, "part": part, **row} for row in work(group, part)]


def main(experiment: Experiment, description: str | None) -> None:
    """The command line of an experiment: does what is missing, or prints its table.

    Args:
        experiment: Which.
        description: The script's docstring.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=experiment.groups, help="how many, from the first")
    parser.add_argument("--jobs", type=int, default=2, help="at a time, of one thread each")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the table lies")
    parser.add_argument("--table", action="store_true", help="print what there is")
    arguments = parser.parse_args()
    well = arguments.table or experiment.do(range(arguments.groups), arguments.jobs, arguments.folder)
    experiment.show(arguments.folder)
    sys.exit(not well)


def segmenter(network: str, options: Mapping[str, object], bands: Mapping[str, int], classes: int) -> Segmenter:
    """A network for inputs that need no scaling, with the weights that torch's generator gives."""
    from engine.modality import BandStatistics, Modality
    from engine.networks.registry import build_network
    from engine.networks.segmenter import Segmenter

    modalities = [
        Modality(name, tuple(map(str, range(count))), "float32", "", (BandStatistics(0, 1, -9, 9),) * count)
        for name, count in bands.items()
    ]
    return Segmenter(build_network(network, options, bands, classes), modalities)


def method(scenarios: object, *objectives: object, classes: int) -> Method:
    """A method as a recipe names it: names, or dictionaries of name and options."""
    from engine.data.settings import MethodSettings
    from engine.methods.registry import build_method

    return build_method(
        MethodSettings.model_validate({"scenarios": scenarios, "objectives": list(objectives)}), classes
    )


def fit(
    trained: Segmenter,
    by: Method,
    inputs: Inputs,
    labels: Tensor,
    *,
    steps: int,
    seed: int,
    batch: int = 8,
    rate: float = 1e-3,
    weight_decay: float = 0.0,
) -> None:
    """Trains with Adam, whose rate falls linearly to nothing, as the engine's loop does: draws by step and sample.

    What learns is what needs a gradient; norms of parts that do not stay as they are.

    Args:
        trained: Is left in evaluation mode.
        by: Scenarios and objectives.
        inputs: For each modality ``[N, C, H, W]``; a sample with a NaN lacks that modality.
        labels: ``[N, H, W]``.
        steps: How many.
        seed: Of samples, scenarios and noise: two arms with the same see the same.
        batch: Samples a step.
        rate: Learning rate of the first step.
        weight_decay: Adam's.
    """
    import torch

    from engine.availability import Scenario
    from engine.training.parameters import train_mode

    parameters = [one for one in trained.parameters() if one.requires_grad]
    optimizer = torch.optim.Adam(parameters, rate, weight_decay=weight_decay)
    there = torch.stack([~torch.isnan(values).flatten(1).any(dim=1) for values in inputs.values()], dim=1)
    train_mode(trained)
    order = np.random.default_rng([seed, 0])
    for step in range(steps):
        chosen = order.choice(len(labels), batch, replace=len(labels) < batch)
        together = [seed, 1, step]
        drawn = [
            by.sampler.draw(
                np.random.default_rng([seed, 2, step, place]),
                np.random.default_rng(together),
                Scenario(tuple(there[sample].tolist())),
            ).members
            for place, sample in enumerate(chosen)
        ]
        torch.manual_seed(int(np.random.SeedSequence([seed, 3, step]).generate_state(1)[0]))
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        some = {name: values[chosen] for name, values in inputs.items()}
        terms = by.loss(trained, some, torch.tensor(drawn), labels[chosen]).terms
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    trained.eval()


def answers(trained: Segmenter, inputs: Inputs, members: Sequence[bool], batch: int = 32) -> Tensor:
    """Class indices ``[N, H, W]`` in one scenario."""
    import torch

    found = []
    with torch.inference_mode():
        for some in batches(inputs, batch):
            count = len(next(iter(some.values())))
            found.append(trained(some, torch.tensor([list(members)] * count)).argmax(dim=1))
    return torch.cat(found)


def batches(inputs: Inputs, batch: int) -> Iterator[dict[str, Tensor]]:
    """Samples in their order."""
    for start in range(0, len(next(iter(inputs.values()))), batch):
        yield {name: values[start : start + batch] for name, values in inputs.items()}


def accuracy(found: Tensor, labels: Tensor) -> float:
    """Share of the labelled pixels that are right."""
    known = labels >= 0
    return float((found[known] == labels[known]).float().mean())


def mean_iou(found: Tensor, labels: Tensor, classes: int) -> float:
    """Mean over the classes of intersection over union; classes that are nowhere are left out."""
    known = labels >= 0
    found, labels = found[known], labels[known]
    scores = []
    for one in range(classes):
        union = ((found == one) | (labels == one)).sum()
        if union:
            scores.append(float(((found == one) & (labels == one)).sum() / union))
    return float(np.mean(scores))
