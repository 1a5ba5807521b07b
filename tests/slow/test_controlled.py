"""What the controlled experiments show, on a few of their groups."""

from collections.abc import Callable

Effects = Callable[..., dict[str, bool]]


def test_what_distorts_more_is_drawn_more_often_and_gains_by_it(effects: Effects) -> None:
    found = effects("latent_guided", 12)
    assert found["oracle - guided, c"]
    assert found["guided - uniform, c"]
    assert found["uniform - inverted, c"]
    assert found["slope - nothing, gain"]


def test_a_neglected_sensor_learns_by_its_own_cross_entropy_and_by_dropout(effects: Effects) -> None:
    found = effects("functional_entropy", 4)
    assert found["unimodal - none, weak"]
    assert found["dropout - none, weak"]


def test_pre_training_on_unlabelled_windows_helps_a_probe_of_few_labels(effects: Effects) -> None:
    found = effects("lds2ae", 4, "dependent")
    assert found["whole - none, probe 4"]
    assert found["whole - none, probe 40"]
    assert found["whole - alone, single 40"]


def test_a_weak_sensor_with_few_labels_gains_by_alignment(effects: Effects) -> None:
    assert effects("stars", 8, "0.1 %")["stars, 0.1 % - joint, 0.1 %, weak"]


def test_prompts_recreate_a_sensor_that_the_one_there_determines(effects: Effects) -> None:
    """With the convolution before them; frozen, it hands over noise."""
    found = effects("lvpcnet", 6, "prompts")
    assert found["prompts - no prompts, learned"]
    assert found["prompts - no prompts, without B"]
    assert found["prompts - frozen convolution, without B"]
