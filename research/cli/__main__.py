"""``python -m embargo.research.cli``: the same as the ``embargo`` command."""

from embargo.research.cli.entry import main

main()
