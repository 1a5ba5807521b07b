"""What a command tells while it works, without a terminal."""

import pytest

from engine.cli.progress import Lines


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 5000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_line_is_written_once_a_minute_and_at_once_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    for second in range(0, 200, 10):
        clock.seconds = 5000.0 + second
        lines.update(f"at {second}", second / 400, at_once=second == 90)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "0:01:00   15%  at 60; about 0:05:40 left",
        "0:01:30   22%  at 90; about 0:05:10 left",
        "0:02:30   38%  at 150; about 0:04:10 left",
    ]


def test_the_time_left_is_that_of_the_part_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.update("first", 0.5)  # as of a job that goes on: nothing is known of its speed
    for text, share in (("first", 0.75), ("no share", None), ("second", 0.0), ("second", 0.2), ("second", 1.0)):
        clock.seconds += 100
        lines.update(text, share)
    assert capsys.readouterr().err.splitlines() == [
        "0:01:40   75%  first; about 0:01:40 left",
        "0:03:20  no share",
        "0:05:00    0%  second",
        "0:06:40   20%  second; about 0:06:40 left",
        "0:08:20  100%  second",
    ]
