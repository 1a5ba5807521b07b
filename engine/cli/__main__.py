"""`python -m engine.cli`: the same as `engine`."""

from engine.cli.main import main

main()
