"""What the doors hold is what was released; a change of it is made on purpose."""

from __future__ import annotations

from embargo.research.benchmarks.public_names import doors, listing, public
from embargo.research.benchmarks.structure import ROOT


def test_doors_hold_what_was_released() -> None:
    released = (ROOT / "docs" / "public_names.txt").read_text(encoding="utf-8").splitlines()
    present = listing().splitlines()
    gone, new = sorted(set(released) - set(present)), sorted(set(present) - set(released))
    assert (gone, new) == ([], []), (
        "docs/versions.md says what a changed name means for the version; then renew the list with "
        "python -m embargo.research.benchmarks.public_names --write docs/public_names.txt"
    )


def test_every_name_in_a_door_can_be_had() -> None:
    assert "embargo.backtest.metrics" in doors()
    for door in doors():
        assert public(door), door
