"""``python -m research.cli``: the same as the ``embargo`` command."""

from research.cli import main

main()
