"""Which commands there are, in the order of the help, where each is defined, and its one sentence.

Nothing is imported here: the list answers ``embargo --help`` and the completion of a command's name before any command
is loaded. The sentence of a command is the first of its own help; a test holds the two together.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command or group of commands: the module that defines it, and what the help says of it."""

    module: str
    summary: str


HELP = """Backtest trading signals that language models read from news, without seeing the future.

    Start with [bold]embargo demo[/bold]: a simulated market, end to end, no data or network needed.
    Then propose a config from your own files with [bold]embargo init[/bold], or fetch data, and run it.
    Models by themselves are tuned, judged, used and exported with the commands from [bold]tune[/bold] on.

    Exit status: 0 fine, 1 error, 2 bad usage or config, 3 the audit found a leak, 4 bad data, 130 interrupted."""

COMMANDS = {
    "demo": Entry("experiments", "Run the main job on a simulated market whose truth is known."),
    "init": Entry("proposing", "Propose a config from your files of news and prices, every guess with its evidence."),
    "run": Entry("experiments", "Run one experiment and write its report."),
    "validate": Entry(
        "experiments", "Check a config and its data without training anything, and show what a run would use."
    ),
    "runs": Entry("experiments", "List the runs so far with their headline figures."),
    "attempts": Entry("attempts", "List what was tried on the same bars and symbols, and what it cost."),
    "signal": Entry("signal", "Show what a run's signal knew, how fast it faded, and which news carried it."),
    "audit": Entry(
        "audit",
        "Say what a run's audit found, ask a run more than that, or audit a strategy made elsewhere.",
    ),
    "sweep": Entry("sweep", "Trade every combination of settings and choose one by validation."),
    "adapt": Entry("adapt", "Set every way to read side by side: quality, money, cost, and a recommendation."),
    "paths": Entry("paths", "Show how much a Sharpe ratio owes to which part of history taught."),
    "compare": Entry("compare", "Compare finished runs on the bars they share."),
    "export-run": Entry(
        "exporting", "Write a run's returns, weights, trades and scored articles for other tools, or its tear sheet."
    ),
    "leaks": Entry("leaks", "List the leaks that are known, and the checks that look for them."),
    "leakbench": Entry("leakbench", "Plant known leaks into clean runs, and count what the audit catches."),
    "tune": Entry("models", "Tune a model, calibrate it, measure it and write its model card."),
    "distill": Entry("distillation", "Teach a cheap reader what a costly one says, and show how far the two agree."),
    "evaluate": Entry("models", "Judge a model on labelled texts: accuracy, calibration, robustness, bias."),
    "score": Entry("models", "Score an archive of news of any size."),
    "export": Entry("models", "Write a model for use elsewhere, with the proof that it is the same."),
    "models": Entry("models", "List the bases that are known, and the models that were tuned."),
    "collect": Entry("sources", "Store the newest articles, each stamped with the moment it was seen."),
    "import": Entry("imports", "Import an archive of news or prices that you have."),
    "fetch": Entry("sources", "Fill a store from Yahoo or Bybit, asking only for what is missing."),
    "doctor": Entry("upkeep", "Say whether this installation has all that it needs, and what would mend it."),
    "clean": Entry("upkeep", "Show what the cache holds by kind and age, and remove what can be made again."),
    "data": Entry("data", "Look into a store: what it holds, how sound it is, SQL."),
}
