"""The checks that every run is audited by, and why no run looks for the other leaks.

The catalogue knows no check but by its name, so that every check takes its title from here; the door of the package
finds the function. ``python -m embargo.backtest.leakage.catalogue > docs/leaks.md`` writes the page of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from embargo.backtest.leakage.leaks import LEAKS, LeakCheck
from embargo.backtest.leakage.on_request import ON_REQUEST

CHECKS: Mapping[str, LeakCheck] = MappingProxyType(
    {
        "check_decisions_are_causal": LeakCheck(
            "T1",
            "Decisions do not move when the future does",
            catches="a statistic over all dates, a join by calendar date, a backward fill, a price of the bar decided",
            silent_on="what happens before scores exist (fitting, calibration, scoring) and rows that were not drawn",
            cost="3 decisions a row that is drawn, and 3 more",
            severity="leak",
            remedy="read nothing with known_at or close_at after decided_at",
        ),
        "check_settled": LeakCheck(
            "T1",
            "The whole run stays as it was when its future changes",
            catches="repeats dropped by later ones (D8), samples, fits (S4), calibration (M12) and scores (R3) "
            "that know what came later, weights and fills likewise; its finding has the code of what moved first",
            silent_on="instants but one at the edge of a fold, a scorer that reads other texts of its batch, texts "
            "edited later: what has the same content is taken from the run, `embargo audit --deep` makes it anew",
            cost="articles and bars up to the instant that is drawn; nothing is fitted or scored anew",
            severity="leak",
            remedy="do at the stage that moved first only what was known by then",
        ),
        "check_fill_order": LeakCheck(
            "T1",
            "Every fill follows its decision, every decision what it read",
            catches="fills before their decision, decisions before what they read, habitual fills at the same instant",
            silent_on="instants that are stated wrongly",
            cost="fills",
            severity="leak",
            remedy="decide from what was known before, and fill at the next open after the decision",
        ),
        "check_lag_decay": LeakCheck(
            "T1",
            "What is earned does not vanish after one bar of delay",
            catches="a Sharpe ratio that no strategy has, gone after one bar of delay",
            silent_on="peeks that earn a plausible Sharpe ratio",
            cost="bars times symbols",
            severity="suspicious",
            remedy="check that row t uses nothing of bar t and that fills come after the decision",
        ),
        "check_bar_stamps": LeakCheck(
            "T2",
            "Bars stand at the time they belong to",
            catches="bars labelled one bar late or early, held against early closes, expiries, midnights UTC and news; "
            "moves that lie a session before their news, leg by leg",
            silent_on="shifts of several bars, intraday bars of an exchange, bars without volumes and news",
            cost="bars times symbols, and articles",
            severity="suspicious",
            remedy="name what the source's stamp means when bars are read, and hold some against another source",
        ),
        "check_last_bar": LeakCheck(
            "T3",
            "The newest bar was over when it was saved",
            catches="a newest bar with less volume and range than any like it, as one that was cut short has",
            silent_on="most bars cut late: of crypto days 83 % are found when cut after 2 hours, 61 % after 4, 25 % "
            "after 8, 5 % after 12; revisions, which need a second download",
            cost="bars times symbols",
            severity="suspicious",
            remedy="End the prices before the bar that was not over (split.end), or fetch it again.",
        ),
        "check_time_zones": LeakCheck(
            "T4",
            "Time stamps carry a zone and keep the hours of the exchange",
            catches="naive stamps, clocks that prices or the night of the writers speak against, piles at midnight",
            silent_on="an hour where few articles lie beside an open or close, three where prices show nothing; shares",
            cost="articles, and bars times symbols",
            severity="leak",
            remedy="name the source's zone when the archive is read",
        ),
        "check_mixed_clocks": LeakCheck(
            "T4",
            "One clock stamped all articles",
            catches="articles under two stamps, default times, a tenth of the rows or more moved by one distance",
            silent_on="rows moved by irregular times, sources without bursts, releases of many favourite times",
            cost="articles times what a symbol has in a day and a half, capped",
            severity="leak",
            remedy="name the zone of each part when the archive is read; set aside rows whose time is not known",
        ),
        "check_tradable_instants": LeakCheck(
            "T5",
            "No article moves a bar that was decided before it was known",
            catches="articles traded too early, dates without a time, skill that piles up in some hours",
            silent_on="wrong stamps that lead to the same bar, hours with fewer than 100 articles or 50 bars",
            cost="articles",
            severity="leak",
            remedy="align each article to the first bar with decided_at >= known_at",
        ),
        "check_books": LeakCheck(
            "T7",
            "The books earned what the weights earn at the stated fills",
            catches="returns beyond what the orders make of the raw bars, positions that were not decided",
            silent_on="earnings that are too small, and raw prices that are wrong",
            cost="bars times symbols",
            severity="leak",
            remedy="Fill every order at the stated price of its bar, and value positions at raw prices.",
        ),
        "check_fills": LeakCheck(
            "T7",
            "No fill is at a price that nobody could know or get",
            catches="fills better than the stated price, at the best price of a bar, at opens that repeat the close",
            silent_on="fewer than 20 fills, flat bars, fills that are too dear",
            cost="fills",
            severity="leak",
            remedy="Fill every order at the stated price of its bar or worse.",
        ),
        "check_funding": LeakCheck(
            "T8",
            "No funding is known, or charged, before it settles",
            catches="weights that move with rates still to settle; rates that go with moves after their stamp",
            silent_on="stamps early by less than a bar or by several settlements, rates that follow no move or are "
            "capped to one level, symbols with fewer than 60 settlements (inconclusive)",
            cost="2 decisions, and one for each of 12 settlements where rates are read",
            severity="leak",
            remedy="Charge each rate at the instant at which it settles, and decide on settled rates alone.",
        ),
        "check_latency": LeakCheck(
            "T10",
            "A model needs time to read",
            catches="orders at the instant of publication, or less than five seconds after",
            silent_on="a longer latency that is shorter than scoring takes: no run measures what its reader takes live",
            cost="nothing",
            severity="suspicious",
            remedy="set latency to what scoring takes",
        ),
        "check_dates_in_texts": LeakCheck(
            "D1",
            "No text tells the past of a later day",
            catches="later days on which something rose, was reported or edited; near ones that no word announces",
            silent_on="announced days, relative dates, other languages, slips of a year, what names no day",
            cost="texts that name a day",
            severity="leak",
            remedy="take first versions, or map the instant of the edit to seen_at",
        ),
        "check_stated_moves": LeakCheck(
            "D1",
            "Texts do not state moves before they happen",
            catches="percentages that the move that follows meets more often than moves at other times do",
            silent_on="moves told in words, percentages of fewer than 40 days",
            cost="percentages in texts",
            severity="leak",
            remedy="date these texts by when they were last changed, or leave them out",
        ),
        "check_concentration": LeakCheck(
            "D1",
            "The forecasts' worth does not come from one source, hour or weekday",
            catches="a source, hour, weekday or age whose forecasts are worth more than honest ones; names the best",
            silent_on="groups of fewer than 40 days, a leak of all groups alike, leads of up to 0.10",
            cost="articles",
            severity="suspicious",
            remedy="compare that group's stamps and wording with another source; leave it out and judge again",
        ),
        "check_backfill": LeakCheck(
            "D2",
            "No article is read before it was seen, and none was filled in",
            catches="articles known before they were seen, a history loaded on one day, later versions of first dates",
            silent_on="archives that do not say when articles were seen, loads of less than 1 %",
            cost="articles",
            severity="leak",
            remedy="map the instant at which each version was first had to seen_at; test after the load",
        ),
        "check_undated": LeakCheck(
            "D4",
            "Every article that is used has a date of its own",
            catches="articles without a date that are used, many that share one instant, as a default would give, and "
            "stamps handed on from one row to the next",
            silent_on="defaults that fill in the day alone (T5), fewer than 20 articles, stamps handed on within a "
            "source or from row to row in order of time",
            cost="articles",
            severity="leak",
            remedy="set undated articles aside; never give them a default",
        ),
        "check_duplicates": LeakCheck(
            "D5",
            "Test texts are not copies of training texts",
            catches="exact and near copies beyond the source's own habit, copies that training knows only from later",
            silent_on="copies reworded beyond 70 %, translations, texts of fewer than four words",
            cost="articles times what they share, capped",
            severity="leak",
            remedy="Drop training copies of what is tested, or drop the later copies from the test; never move a test "
            "text into training.",
        ),
        "check_repeated_texts": LeakCheck(
            "D5",
            "Copies of a text do not make the forecasts' worth",
            catches="worth that is gone when each text counts once, leading texts that are later copies dated back",
            silent_on="near copies, texts of fewer than four words, copies that change nothing (counted)",
            cost="words",
            severity="suspicious",
            remedy="let each text count once, or keep the copy whose stamp can be shown",
        ),
        "check_rereading": LeakCheck(
            "D9",
            "What is traded is what the reader says of each text alone",
            catches="caches that answer for another text or model; scores changed, or taken out, after they were given "
            "(M13), or so that they foretell what was earned (S7); its finding has the code of the cause",
            silent_on="a reader that is wrong each time, changes within rounding, texts not drawn (models are asked "
            "again of 32 a fold, and of none where a run loads no model), drawn answers that lie no further apart than "
            "their draws do by chance: of one draw a text nothing can be told",
            cost="articles, and the texts that are read again",
            severity="leak",
            remedy="keep scores by the whole text and all that made the model; let nothing change what a reader says",
        ),
        "check_hit_rate": LeakCheck(
            "S7",
            "Forecasts are not right more often than news can be",
            catches="archives from which what misled was taken out, texts or one source edited with the answer at "
            "hand, scores made from returns: sides that are right 15 points above chance",
            silent_on="hindsight in so few texts that fewer than 15 points are left, fewer than 30 moves or 15 days",
            cost="articles",
            severity="suspicious",
            remedy="ask when these texts were last changed, and what was left out of the archive",
        ),
        "check_label_readings": LeakCheck(
            "S7",
            "Labels that read texts do not know what followed",
            catches="labels said to be readings that have the side of the next move 15 points above chance, among them "
            "those that differ from their text's own reading",
            silent_on="labels made from moves of other lengths, in fewer texts than that shows in",
            cost="labelled texts",
            severity="suspicious",
            remedy="ask how labels were made; from prices, name when each was complete as labels.ends_at",
        ),
        "check_label_agreement": LeakCheck(
            "S7",
            "The reader does not know the labels that it is measured by",
            catches="scores made of the labels of the test: hardly a mistake in 189 samples or more, or a share right "
            "that is 10 points and 5 standard errors above that of the validation part",
            silent_on="readers that know few of the labels, or as many of the validation part; labels of returns, but "
            "where hardly one is mistaken",
            cost="labelled samples",
            severity="suspicious",
            remedy="ask how the scores came about and whether what made them had the labels; measure on labels that "
            "were made after the scores, or by somebody else",
        ),
        "check_label_overlap": LeakCheck(
            "S1",
            "No label reaches over a split boundary",
            catches="labels computed with prices of the next block, on either side, and gaps below the embargo",
            silent_on="labels of the news whose true end is later than stated (of returns, bars are counted)",
            cost="samples",
            severity="leak",
            remedy="purge every sample whose label interval touches the next block",
        ),
        "check_split_order": LeakCheck(
            "S5",
            "Training and validation are older than the first test decision",
            catches="shuffled splits, articles on two sides, validation older than training",
            silent_on="copies under another article_id (D5)",
            cost="samples",
            severity="leak",
            remedy="split by known_at, all symbols together",
        ),
        "check_outcome_words": LeakCheck(
            "S7",
            "No word is right too often about what follows",
            catches="words and pairs of words that one sign follows in 65 % of cases or more, beyond chance",
            silent_on="outcomes told in ever other words, words of fewer than 20 texts or 15 days",
            cost="words, a sample beyond 1.5 million",
            severity="suspicious",
            remedy="date texts by when they were last changed, or leave them out",
        ),
        "check_price_echo": LeakCheck(
            "S9",
            "Texts do not tell the move that they are traded on",
            catches="told moves (rose, fell) that have the side of the move that follows in 65 % of cases or more",
            silent_on="told moves of the bar before, which news is about; other words for a move; fewer than 40 days",
            cost="words",
            severity="leak",
            remedy="date these texts by when they were written or last changed",
        ),
        "check_base_cutoff": LeakCheck(
            "M1",
            "The base model is older than the test period",
            catches="a base that is declared to know the test period, or of which nobody says what it knows",
            silent_on="a declared cutoff that is earlier than the true one (M2)",
            cost="nothing",
            severity="suspicious",
            remedy="use a base with a cutoff before the test, or report both sides of the cutoff apart",
        ),
        "check_cutoff_split": LeakCheck(
            "M1",
            "Forecasts are worth as much after the knowledge cutoff as before it",
            catches="scores that forecast more before the base's stated cutoff than after it, beyond a word list's",
            silent_on="a cutoff outside the test window, memory that helps on both sides alike",
            cost="articles",
            severity="suspicious",
            remedy="trust the figures after the cutoff alone, or take a base whose cutoff lies before the test",
        ),
        "check_alpha_decay": LeakCheck(
            "M9",
            "Alpha does not end at the knowledge cutoff",
            catches="returns beyond those of a word list that end where the base's knowledge does, in like regimes",
            silent_on="a cutoff outside the test window, memory that did not pay; alpha that fades looks the same",
            cost="bars",
            severity="suspicious",
            remedy="trust the figures after the cutoff alone, or take a base whose cutoff lies before the test",
        ),
        "check_training_record": LeakCheck(
            "M11",
            "The model learned nothing from the test period",
            catches="test samples that reached the optimiser or the stopping rule, samples that nobody planned",
            silent_on="texts reworded between training and test (D5), what the base was pretrained on (M1)",
            cost="samples and articles",
            severity="leak",
            remedy="Fit the model again on what was known before the test, or test from a later date.",
        ),
        "check_contamination": LeakCheck(
            "M11",
            "No test text is among those that the model was fitted on",
            catches="labels of a file, held out to measure the reader, whose texts reached the fit",
            silent_on="labels that come with the news or from returns; texts reworded, or of fewer than four words",
            cost="labelled texts",
            severity="leak",
            remedy="Fit again without these texts, or measure on texts that the model was not fitted on.",
        ),
        "check_calibration_record": LeakCheck(
            "M12",
            "Calibration and thresholds learned nothing from the test period",
            catches="test samples that reached the calibration or the thresholds between classes",
            silent_on="settings chosen by looking at the test (P1), samples read as bare logits",
            cost="samples and articles",
            severity="leak",
            remedy="Fit the calibration and the thresholds on what was known before the test.",
        ),
        "check_universe": LeakCheck(
            "D6",
            "The list of symbols does not know what became of them",
            catches="lists of 20 symbols and more of which too few ended, at a low 2 % a year (Poisson, 0.3 %); "
            "lists that were made after the first decision by their own account",
            silent_on="lists chosen by what rose that nobody dates, symbols added later, crypto and simulated markets",
            cost="bars times symbols",
            severity="suspicious",
            remedy="Take the symbols that were listed at the start, with those that ended since, or test from the "
            "day on which the list was made; say which day that was (prices.symbols_chosen_at of an experiment; "
            "--symbols-chosen-at, or symbols_chosen_at in Python, of a strategy made elsewhere).",
        ),
        "check_levels": LeakCheck(
            "D7",
            "Decisions hang on no level of adjusted prices",
            catches="rules that compare levels of prices into which later splits or dividends were worked",
            silent_on="levels in texts, minimum prices and lots of the books, prices as they were traded",
            cost="two decisions over all bars",
            severity="leak",
            remedy="Decide by returns and ratios of prices, or by prices as they were traded, with splits beside them.",
        ),
        "check_prompts": LeakCheck(
            "R1",
            "Prompts show nothing that was known later",
            catches="examples and retrieved articles from after the decision, under false dates too where the news "
            "hold them; items within reach of prompts from the test on; an index built on later news shows in T1",
            silent_on="prompts that were not drawn (of each fold the first 256, then ever fewer), readers that do "
            "not show theirs, false dates of texts of fewer than four words, what the model behind them knows (M1); "
            "texts that a reader of one's own has from elsewhere, or rewords (inconclusive)",
            cost="prompts drawn, and what they show",
            severity="leak",
            remedy="Draw examples, and build the index of each fold, from what was known before its training ended.",
        ),
        "check_example_outcomes": LeakCheck(
            "R2",
            "No example tells an outcome before it is complete",
            catches="labels made of returns that are shown, or remembered, before the last of them was earned",
            silent_on="texts that are later themselves (R1), labels that nobody dates, memory outside of prompts",
            cost="prompts drawn, and what they show",
            severity="leak",
            remedy="Let a label be known when its outcome is complete, and show it from then on.",
        ),
        "check_batch_mates": LeakCheck(
            "R3",
            "A text read alone gets the answer that it gets among others",
            catches="statistics over a batch, padding that shifts answers, several articles in one prompt: answers "
            "of a text alone and together that differ by 0.05, or by 0.01 all in all (suspicious)",
            silent_on="other companies, readers that do not repeat themselves (inconclusive), less than that; "
            "8 texts a fold of a model, 32 of a reader of words, none where a run loads no model",
            cost="texts that are read alone",
            severity="leak",
            remedy="Score each article by itself: evaluation mode, attention masks, one article a prompt.",
        ),
        "check_template": LeakCheck(
            "R4",
            "The fixed words of prompts know no later day",
            catches="days and years after the decision in instructions, profiles and undated examples; years, "
            "quarters, traded companies and renames of any date (suspicious)",
            silent_on="knowledge that names no date, company or rename, tickers of one or two letters, dated items, "
            "other languages",
            cost="distinct fixed wordings",
            severity="leak",
            remedy="Write a template that names no date, company or event; what an article needs belongs into dated "
            "items.",
        ),
        "check_injection": LeakCheck(
            "R5",
            "Orders inside a text do not move its answer",
            catches="readers that follow orders of 16 forms in a text, the prompt's own marks among them: a shift "
            "of 0.05 beyond control sentences; a leak where news of the test gives orders itself",
            silent_on="other forms and languages, texts so long that the prompt cuts the order off, readers without "
            "prompts and endpoints (asked by `embargo audit --probe`)",
            cost="128 readings of one fold",
            severity="leak",
            remedy="Take a reader that does not follow its input, or leave out articles that give orders, and ask "
            "again.",
        ),
        "check_selection": LeakCheck(
            "P1",
            "Settings were not picked by how they did on the test",
            catches="the best of ten or more attempts that differ in tuning alone, if its edge falls with their number",
            silent_on="attempts that no ledger knows, fewer than ten variants, edges that survive their number",
            cost="attempts on the same bars",
            severity="suspicious",
            remedy="Choose settings on the validation part (embargo sweep), or test them on bars never looked at.",
        ),
        "check_attempts": LeakCheck(
            "P2",
            "All attempts on the test were counted",
            catches="the best of ten or more attempts of any kind, if its edge falls with their number",
            silent_on="attempts that were neither recorded nor stated; none of either is inconclusive",
            cost="attempts on the same bars",
            severity="suspicious",
            remedy="Report the result as one of so many attempts, or test it on bars that none of them was made on.",
        ),
        "check_exclusions": LeakCheck(
            "P4",
            "No session is left out on which the market moved",
            catches="sessions without a price across which the symbols moved most; names all of them, and shut regimes",
            silent_on="days on which some symbols have prices, regimes and days chosen beforehand (named alone)",
            cost="bars times symbols, for each session left out",
            severity="suspicious",
            remedy="Put the bars of these sessions back, or show that nothing could be traded on them.",
        ),
        "check_exposure": LeakCheck(
            "P5",
            "The market's rise is not taken for skill",
            catches="strategies on one side of the market whose returns are those of their average weights",
            silent_on="strategies on both sides, those that earned nothing, rises within chance, fewer than 60 bars",
            cost="bars times symbols",
            severity="suspicious",
            remedy="Hold the strategy against its own average weights, or make it market-neutral (portfolio.neutral).",
        ),
        "check_costs": LeakCheck(
            "P7",
            "Trading costs something",
            catches="runs in which no order costs anything",
            silent_on="costs that are lower than the market's",
            cost="nothing",
            severity="suspicious",
            remedy="charge fees and slippage",
        ),
    }
)

_OPENING = """\
<!-- Made from backtest/leakage/catalogue.py by: python -m embargo.backtest.leakage.catalogue > docs/leaks.md -->

# Leaks and their checks

Every run is audited by these checks; `embargo leaks` lists them in a terminal. A leak stamps the report INVALID, a
suspicion wants a person's eye, an inconclusive check had no power. What no check looks for is listed below, and in
every report; some of it is looked for by `embargo audit --deep`, which carries the whole run out again, and some by
`embargo audit --probe`, which puts changed texts to the run's own readers.

"""

# What no check of a run looks for, and why.
NOT_TESTED: Mapping[str, str] = MappingProxyType(
    {
        "T6": "bars are held against the exchange's calendar when they are read, which refuses others",
        "T9": "data that end earlier are tried by `embargo audit --deep`",
        "D3": "runs read no macro or company figures",
        "D8": "gaps are never filled by a run (T1 tries at one instant); a fill inside an archive cannot be seen",
        "D10": "nothing below the command line asks for the day; scores that it changes are not the reader's (D9)",
        "S2": "the splitter's own tests hold it for every mode",
        "S3": "training ends before the test and decay reaches back alone, so no later row is in it; labels are S1",
        "S4": "a fit under another future is tried at one instant (T1), at more by `embargo audit --deep`",
        "S6": "what prompts show is held against time (R1, R2), and what was fitted on (M11)",
        "S8": "regimes of a gate are part of T1",
        "M2": "asked by `embargo audit --probe`, with bare dates and another day's news",
        "M3": "asked by `embargo audit --probe`, with bare dates and another day's news",
        "M4": "asked by `embargo audit --probe`, of a causal base whose cutoff lies inside the test",
        "M5": "asked by `embargo audit --probe`, with names masked, and with news told of others",
        "M6": "runs mask no names; `embargo audit --probe` does, and asks",
        "M7": "asked by `embargo audit --probe`, with dates put wrong",
        "M8": "asked by `embargo audit --probe`, with texts turned round",
        "M10": "readers give probabilities, no reasons",
        "M13": "weights are pinned by hash and some texts asked again (D9); `embargo audit --probe` asks more, twice",
        "M14": "runs apply no remedy against memory",
        "P3": "intervals and tests of a run allow for serial correlation",
        "P6": "every run shuffles its news against the market",
    }
)


def not_tested(codes: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return (code, leak, reason) of every leak that no check with one of these codes looks for.

    Parameters
    ----------
    codes : iterable of str
        Of the findings of an audit.

    Returns
    -------
    list of tuple of str

    Examples
    --------
    >>> from embargo.backtest.leakage import CHECKS, not_tested
    >>> codes = {check.code for check in CHECKS.values()}
    >>> not_tested(codes)[0][:2]
    ('T6', 'Half days, holidays and changes of the clock are missing from the calendar')
    """
    told = set(codes)
    return [
        (code, leak, NOT_TESTED.get(code, "its check was not run")) for code, leak in LEAKS.items() if code not in told
    ]


def reference() -> str:
    """Write `docs/leaks.md`: every check, and every leak without one.

    Examples
    --------
    >>> from embargo.backtest.leakage.catalogue import reference
    >>> reference().splitlines()[2]
    '# Leaks and their checks'
    """
    lines = [*_OPENING.splitlines(), *_table(CHECKS)]
    lines += ["", "## Asked on request", "", *_table(ON_REQUEST, "asked by")]
    lines += ["", "## Not tested by a run", "", "| code | leak | why |", "|---|---|---|"]
    lines += [f"| {code} | {leak} | {why} |" for code, leak, why in not_tested(each.code for each in CHECKS.values())]
    return "\n".join(lines) + "\n"


def _table(checks: Mapping[str, LeakCheck], *further: str) -> list[str]:
    """Write checks as a table; ``further`` headings name more of their fields."""
    headings = ("code", "what ought to hold", "function", "catches", "silent on", "gravest", "time grows with")
    named = [*headings, "what to do", *further]
    lines = [f"| {' | '.join(named)} |", "|" + "---|" * len(named)]
    for name, check in checks.items():
        cells = (check.code, check.title, f"`{name}`", check.catches, check.silent_on, check.severity, check.cost)
        more = [str(getattr(check, heading.replace(" ", "_"))) for heading in further]
        lines.append(f"| {' | '.join([*cells, check.remedy, *more])} |")
    return lines


if __name__ == "__main__":
    print(reference(), end="")
