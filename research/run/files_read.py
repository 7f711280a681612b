"""What findings are worth where a reader's own code opened files by itself: no check could date what they hold.

A world with another future changes what a run hands over, and not such a file; a pass would prove nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from embargo.backtest.leakage import Finding

# As many are named in words.
_NAMED = 5
_REMEDY = (
    "Say what these files hold and until when it was known (base_knowledge_cutoff and cutoff_source of the Fit), and "
    "hand over whatever has dates through the loaders of news and prices, so that it is held against time."
)


def files_read(manifests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name the files that readers of one's own, or teachers, opened by themselves, each with its folder; sorted.

    Examples
    --------
    >>> from embargo.research.run.files_read import files_read
    >>> files_read([{"kind": "mine:read", "files_read": ["data/labels.csv"]}, {"kind": "linear"}])
    ['data/labels.csv']
    """
    found: set[str] = set()
    for manifest in manifests:
        settings = manifest.get("settings", {})
        taught_by = settings.get("teacher") if "taught" in settings else None
        for one in (manifest, taught_by):
            if isinstance(one, Mapping):
                found.update(one.get("files_read", ()))
    return sorted(found)


def unless_files_read(finding: Finding, manifests: Sequence[Mapping[str, Any]]) -> Finding:
    """Take a pass back where the readers' code opened files by itself; whatever else was found stands."""
    files = files_read(manifests)
    if not files or finding.verdict not in ("pass", "not-applicable"):
        return finding
    named = ", ".join(files[:_NAMED]) + (f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else "")
    detail = (
        f"The reader's own code opened {len(files):,} file{'s' * (len(files) != 1)} by itself ({named}): nobody "
        f"checked what is in there, or from when it is. All that was handed over: {finding.detail}"
    )
    evidence: list[dict[str, Any]] = [{"file": name} for name in files]
    return replace(
        finding, verdict="inconclusive", detail=detail, evidence=evidence, effect=None, unit="", remedy=_REMEDY
    )
