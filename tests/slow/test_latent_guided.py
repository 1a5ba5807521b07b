from collections.abc import Callable


def test_what_distorts_more_is_drawn_more_often_and_gains_by_it(effects: Callable[[str, int], dict[str, bool]]) -> None:
    found = effects("latent_guided", 12)
    assert found["oracle - guided, c"]
    assert found["guided - uniform, c"]
    assert found["uniform - inverted, c"]
    assert found["slope - nothing, gain"]
