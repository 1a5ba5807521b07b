"""Sets up what the tests need and runs all of them: lint, format, types, behaviour.

Arguments go to pytest: ``python3 scripts/test.py -k mosaic``.
"""

from __future__ import annotations

import sys

from environment import python, run


def main() -> None:
    """Runs every check; stops at the first that fails."""
    interpreter = python()
    run(interpreter, "-m", "ruff", "check", ".")
    run(interpreter, "-m", "ruff", "format", "--check", ".")
    run(interpreter, "-m", "mypy")
    run(interpreter, "-m", "pytest", *sys.argv[1:])


if __name__ == "__main__":
    main()
