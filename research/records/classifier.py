"""How well a run's articles were read, typed; a part of `embargo.research.records.metrics.Metrics`.

Every figure carries its label, unit and definition; what is undefined is None.
"""

from __future__ import annotations

from collections.abc import Mapping

from embargo.research.records.figures import Interval, figure, record


@record
class ClassFigures:
    """How one class was read."""

    precision: float | None = figure("Precision", "fraction", "Share rightly read of those read as this class.")
    recall: float | None = figure("Recall", "fraction", "Share rightly read of those of this class.")
    f1: float | None = figure("F1", "ratio", "Harmonic mean of precision and recall.")
    support: int = figure("Support", "count", "Articles of this class.")


@record
class ClassIntervals:
    """Intervals of how one class was read."""

    precision: Interval | None = figure("Precision", "fraction", "Lower and upper end.")
    recall: Interval | None = figure("Recall", "fraction", "Lower and upper end.")
    f1: Interval | None = figure("F1", "ratio", "Lower and upper end.")


@record
class RocCurve:
    """One class against the rest, at every threshold."""

    false_positive_rate: tuple[float, ...] = figure("False positive rate", "fraction", "From 0 to 1.")
    true_positive_rate: tuple[float, ...] = figure("True positive rate", "fraction", "At each of those.")


@record
class Majority:
    """What always answering the most frequent class would have scored."""

    accuracy: float = figure("Accuracy", "fraction", "Share read rightly.")
    macro_f1: float = figure("Macro F1", "ratio", "Mean of the classes' F1.")


@record
class ConfidenceTest:
    """Whether confidence is the probability of being right (Spiegelhalter)."""

    z: float | None = figure("z", "standard errors", "Above 0 where confidence promises too much.")
    p_value: float | None = figure("p, two-sided", "p-value", "For confidence that is the probability of being right.")


@record
class ReliabilityBin:
    """The articles whose confidence lies in one bin."""

    lower: float = figure("From", "probability", "Lower edge of the bin.")
    upper: float = figure("To", "probability", "Upper edge of the bin.")
    confidence: float = figure("Confidence", "probability", "Mean confidence in it.")
    accuracy: float = figure("Accuracy", "fraction", "Share read rightly.")
    count: int = figure("Articles", "count", "Articles in it.")
    accuracy_low: float = figure("Accuracy, lower end", "fraction", "Lower end of its interval (Wilson).")
    accuracy_high: float = figure("Accuracy, upper end", "fraction", "Upper end of its interval (Wilson).")


@record
class Classification:
    """How well the labelled articles of the test windows were read."""

    n: int = figure("Articles", "count", "Labelled articles.")
    n_groups: int | None = figure("Days", "count", "Days, whose articles depend on each other.")
    accuracy: float | None = figure("Accuracy", "fraction", "Share read rightly.")
    accuracy_interval: Interval | None = figure("Accuracy, interval", "fraction", "Lower and upper end.")
    macro_f1: float | None = figure("Macro F1", "ratio", "Mean of the classes' F1.")
    macro_f1_interval: Interval | None = figure("Macro F1, interval", "ratio", "Lower and upper end.")
    weighted_f1: float | None = figure("Weighted F1", "ratio", "Mean of the classes' F1, by their support.")
    weighted_f1_interval: Interval | None = figure("Weighted F1, interval", "ratio", "Lower and upper end.")
    mcc: float | None = figure("Matthews correlation", "ratio", "Correlation of read and true classes (Gorodkin).")
    mcc_interval: Interval | None = figure("Matthews correlation, interval", "ratio", "Lower and upper end.")
    classes: Mapping[str, ClassFigures] = figure("By class", "record", "How each class was read.")
    class_intervals: Mapping[str, ClassIntervals] = figure("By class, intervals", "record", "Intervals of the same.")
    auc: Mapping[str, float | None] = figure("AUC", "probability", "Area under the ROC curve, each class and macro.")
    auc_interval: Mapping[str, Interval | None] = figure("AUC, interval", "probability", "Lower and upper end.")
    roc: Mapping[str, RocCurve | None] = figure("ROC curves", "record", "Each class against the rest.")
    confusion: tuple[tuple[int, ...], ...] = figure("Confusion", "count", "True classes in rows, read ones in columns.")
    log_loss: float = figure("Log loss", "nats", "Mean of minus the log of the true class's probability.")
    brier: float = figure("Brier score", "ratio", "Mean squared distance of the probabilities from the truth.")
    ece: float = figure("ECE", "fraction", "Expected calibration error, bins of equal width.")
    adaptive_ece: float = figure("Adaptive ECE", "fraction", "Expected calibration error, bins of equal count.")
    majority: Majority = figure("Majority", "record", "What the most frequent class would have scored.")
    level: float = figure("Level", "probability", "Confidence level of the intervals.")
    confidence: float = figure("Mean confidence", "probability", "Mean of the largest probability.")
    confidence_test: ConfidenceTest = figure("Test of confidence", "record", "Whether it is what it says.")
    reliability: Mapping[str, tuple[ReliabilityBin, ...]] = figure(
        "Reliability", "record", "Bins of confidence that hold articles, before and after calibration."
    )
