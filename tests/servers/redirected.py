"""The command line in a process of its own, with Yahoo and Bybit on loopback: ``embargo`` for tests that kill it.

``python -m servers.redirected YAHOO_URL BYBIT_URL -- fetch yahoo ...`` with ``tests`` on the module path; ``-`` in
place of an address leaves that service alone.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack


def main(arguments: list[str]) -> None:
    """Point the clients at the given addresses and run the command line.

    Raises
    ------
    SystemExit
        If the arguments are not as described, or the command line ends so.
    """
    if len(arguments) < 3 or arguments[2] != "--":
        raise SystemExit("usage: python -m servers.redirected YAHOO_URL|- BYBIT_URL|- -- ARGUMENTS OF embargo")
    yahoo, bybit = arguments[:2]
    with ExitStack() as services:
        if yahoo != "-":
            from servers import yahoo_service

            services.enter_context(yahoo_service.redirect(yahoo))
        if bybit != "-":
            from servers import bybit_service

            services.enter_context(bybit_service.redirect(bybit))
        from embargo.research.cli import entry

        sys.argv = ["embargo", *arguments[3:]]
        entry.main()


if __name__ == "__main__":
    main(sys.argv[1:])
