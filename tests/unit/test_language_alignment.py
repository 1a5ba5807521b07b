"""The contrast of features and texts, sample by sample."""

import math

import pytest
import torch

from engine.methods.language import alignment


def by_loops(features: torch.Tensor, labels: list[int], texts: torch.Tensor, temperature: float) -> float:
    """Equation 4 as it stands, with all samples in the denominators: every sample has the text of its class."""
    seen = [feature / feature.norm() for feature in features.double()]
    words = [texts[label].double() / texts[label].double().norm() for label in labels]
    total = 0.0
    for anchor, label in enumerate(labels):
        positives = [place for place, other in enumerate(labels) if other == label]
        for own, others in ((seen, words), (words, seen)):
            below = sum(math.exp(float(own[anchor] @ other) / temperature) for other in others)
            parts = [
                math.log(math.exp(float(own[anchor] @ others[place]) / temperature) / below) for place in positives
            ]
            total -= sum(parts) / len(positives)
    return total / len(labels)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1, 1, 1, 3, 3, 0], [2, 2, 2], [4]])
def test_it_is_the_contrast_of_all_samples_with_the_texts_of_all(labels: list[int]) -> None:
    """With several samples of a class, and classes that do not occur."""
    torch.manual_seed(len(labels))
    features, texts = torch.randn(len(labels), 6), 3 * torch.randn(5, 6)
    found = alignment(features, torch.tensor(labels), texts, 0.3)
    assert found.item() == pytest.approx(by_loops(features, labels, texts, 0.3), rel=1e-5)


def test_features_move_towards_the_text_of_their_class() -> None:
    torch.manual_seed(0)
    texts, labels = torch.randn(3, 8), torch.tensor([0, 1, 2, 0, 1, 2])
    features = torch.randn(6, 8, requires_grad=True)
    optimizer = torch.optim.Adam([features], 0.1)
    for _ in range(200):
        optimizer.zero_grad()
        alignment(features, labels, texts, 0.07).backward()
        optimizer.step()
    likeness = torch.nn.functional.cosine_similarity(features[:, None], texts[None], dim=2)
    assert likeness.argmax(dim=1).tolist() == labels.tolist()
