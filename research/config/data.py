"""The section of an experiment that says which faults of its data are accepted, and why."""

from __future__ import annotations

from pydantic import Field, model_validator

from embargo.research.config.settings import Section


class DataSection(Section):
    """Which faults of the data are accepted, each by the code of its check and with a reason.

    The codes are those that ``embargo validate`` prints: ``accept = { splits = "a spin-off, see the filing of May" }``.
    """

    accept: dict[str, str] = Field(default_factory=dict)
    """Codes of checks, as `embargo validate` prints them, to the reason why these data can be believed all the same."""

    @model_validator(mode="after")
    def _has_reasons(self) -> DataSection:
        if bare := [code for code, reason in self.accept.items() if not reason.strip()]:
            raise ValueError(f"data.accept.{bare[0]} gives no reason; say why these data can be believed all the same")
        return self
