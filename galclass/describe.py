"""What a figure of the notebook shows, in words, with the numbers of the run.

The sentences are chosen by the numbers, so that they are true of any data and any run.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._types import Images, Labels, Source
from .evaluation import FEW, top_confusions
from .galaxy10 import CLASS_COUNTS, CLASS_NAMES, check_labels
from .plotting import (
    PUBLISHED_RECALL,
    accuracy_in_bins,
    check_comparable,
    describe_source,
    wilson_interval,
)
from .runs import Run

if TYPE_CHECKING:
    import keras
    from astropy.table import Table

# The questions of Galaxy Zoo 2 (Willett et al. 2013, figure 1) that lead to each class, with their
# answers.
FEATURES, EDGE = "whether it is smooth or has features or a disk", "whether the disk is on edge"
ROUND, BULGE = "how round it is", "which shape the bulge has"
ARMS, WINDING = "whether there are spiral arms", "how tightly the arms are wound"
TREE = (
    {FEATURES: "features", EDGE: "no", ARMS: "no"},
    {FEATURES: "smooth", ROUND: "completely"},
    {FEATURES: "smooth", ROUND: "in between"},
    {FEATURES: "smooth", ROUND: "cigar shaped"},
    {FEATURES: "features", EDGE: "yes", BULGE: "rounded"},
    {FEATURES: "features", EDGE: "yes", BULGE: "boxy"},
    {FEATURES: "features", EDGE: "yes", BULGE: "none"},
    {FEATURES: "features", EDGE: "no", ARMS: "yes", WINDING: "tight"},
    {FEATURES: "features", EDGE: "no", ARMS: "yes", WINDING: "medium"},
    {FEATURES: "features", EDGE: "no", ARMS: "yes", WINDING: "loose"},
)
PUBLISHED_ACCURACY = 0.8006


class Words(str):
    """Markdown that a notebook shows as such."""

    def _repr_markdown_(self):
        return str(self)


def dividing_question(one, other):
    """The first question of Galaxy Zoo 2 that is answered differently for two classes.

    Parameters
    ----------
    one, other : int
        Different classes, 0 to 9.

    Returns
    -------
    str
    """
    return next(q for q, answer in TREE[one].items() if TREE[other].get(q) != answer)


def describe_data(source: Source) -> Words:
    """Which galaxies all that follows is about.

    Parameters
    ----------
    source : dict
        From :func:`galclass.load_data`.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=20)
    >>> print(galclass.describe_data(source))
    **This notebook ran on: Simulated galaxies, not observed ones: 20.** What is found below ...
    """
    caution = {
        "simulated": "What is found below holds for simulated galaxies.",
        "galaxy10": "This is the public file, told by its sha256.",
    }.get(
        source["kind"],
        "This is not the public file: what is found below cannot be compared with figures that "
        "were published for Galaxy10.",
    )
    return Words(f"**This notebook ran on: {describe_source(source)}.** {caution}")


def describe_classes(labels: Labels) -> Words:
    """The commonest and the rarest class, and what guessing would reach.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> images, labels, source = galclass.load_data("simulated", n=20)
    >>> print(galclass.describe_classes(labels))
    Of 20 galaxies, ... has ..., ... (in the public file ... of 21,785). Who called every galaxy ...
    """
    counts = np.bincount(check_labels(labels), minlength=len(CLASS_NAMES))
    most, least = int(counts.argmax()), int(counts.argmin())
    return Words(
        f"Of {counts.sum():,} galaxies, {_class(most)} has {counts[most]:,}, {_class(least)} "
        f"{counts[least]:,} (in the public file {CLASS_COUNTS[most]:,} and "
        f"{CLASS_COUNTS[least]:,} of {sum(CLASS_COUNTS):,}). Who called every galaxy {most + 1} "
        f"would be right in {_percent(counts[most] / counts.sum(), 0)}: accuracy starts there, "
        "not at zero."
    )


def describe_network(model: "keras.Model") -> Words:
    """How many weights a network has, and where.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> print(galclass.describe_network(galclass.build_cnn()))
    1,799,964 weights, of which ... % are in one layer, ...
    """
    total = model.count_params()
    largest = max(model.layers, key=lambda layer: layer.count_params())
    incoming = " × ".join(str(n) for n in largest.input.shape[1:])
    return Words(
        f"{total:,} weights, of which {_percent(largest.count_params() / total, 0)} are in one "
        f"layer, `{largest.name}`, that reads {incoming} numbers: most of what the network could "
        "learn by heart sits there, behind the dropout."
    )


def describe_history(run: Run) -> Words:
    """Which epoch was the best, and whether the network learned by heart after it.

    Parameters
    ----------
    run : galclass.runs.Run

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_history(run))
    The weights of epoch 1 of 1 are kept: ... % of the validation galaxies are right there, ...
    """
    history = run.history
    best = int(np.lexsort((history["val_loss"], -history["val_accuracy"]))[0])
    n = len(history["epoch"])
    lowest = int(history["val_loss"].argmin())
    rise = history["val_loss"][-1] / history["val_loss"][lowest] - 1
    words = (
        f"The weights of epoch {best + 1} of {n} are kept: "
        f"{_percent(history['val_accuracy'][best])} of the validation galaxies are right there, "
        f"and {_percent(history['accuracy'][best])} of the training galaxies"
    )
    if history["accuracy"][best] < history["val_accuracy"][best]:
        words += (
            " (fewer, as these are counted while the network learns, with dropout and any turning "
            "and zooming on)"
        )
    if rise > 0.02 and history["loss"][-1] < history["loss"][lowest]:
        words += (
            f". The validation loss was lowest at epoch {lowest + 1} and ended "
            f"{_percent(rise, 0)} above that while the training loss went on falling: it had "
            "begun to learn by heart."
        )
    elif best >= n - 2:
        words += ". The best epoch is at the end: a longer training might reach more."
    else:
        words += ". The curves have flattened, without a sign of learning by heart."
    return Words(words)


def describe_test(run: Run) -> Words:
    """Accuracy with its interval, balanced accuracy, and what they may be compared with.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_test(run))
    **... % of 45 test galaxies are right (95 % interval ... %)**, where calling all of them ...
    """
    metrics, kind = run.metrics, run.manifest["source"]["kind"]
    commonest = max(row["support"] for row in metrics["classes"]) / metrics["galaxies"]
    if kind == "galaxy10":
        beside = "on another split of the same galaxies, so the two may be compared"
    else:
        other = "simulated" if kind == "simulated" else "other"
        beside = f"on Galaxy10; these are {other} galaxies, so the two must not be compared"
    return Words(
        f"**{_percent(metrics['accuracy'])} of {metrics['galaxies']:,} test galaxies are right "
        f"(95 % interval {_interval(metrics['accuracy_interval'])})**, where calling all of them "
        f"the commonest class would give {_percent(commonest)}. The mean recall over the classes "
        f"(balanced accuracy) is {_percent(metrics['balanced_accuracy'])}, macro-F1 "
        f"{_percent(metrics['macro_f1'])}. The published network had "
        f"{_percent(PUBLISHED_ACCURACY)} {beside}."
    )


def describe_questions(run: Run) -> Words:
    """At which questions of Galaxy Zoo the wrong test galaxies part from the volunteers.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_questions(run))
    Of the ... test galaxies that are wrong, network and volunteers part in ... % at ...
    """
    matrix = np.array(run.metrics["confusion_matrix"])
    times = Counter()
    for (said, true), n in np.ndenumerate(matrix):
        if said != true and n:
            times[dividing_question(true, said)] += int(n)
    if not times:
        return Words("No test galaxy is wrong.")
    parted = ", ".join(f"{_percent(n / times.total(), 0)} at *{q}*" for q, n in times.most_common())
    return Words(
        f"Of the {times.total():,} test galaxies that are wrong, network and volunteers part in "
        f"{parted}."
    )


def describe_confusions(run: Run, count: int = 3) -> Words:
    """The largest confusions, and the question of Galaxy Zoo that divides the two classes.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.
    count : int, default 3

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_confusions(run, 1))
    The largest confusions:
    - ... % of the ... test galaxies of ... are called ...; the volunteers' answers part at ...
    """
    lines = [
        f"- {_percent(share, 0)} of the {n:,} test galaxies of {_class(true)} are called "
        f"{_class(said)}; the volunteers' answers part at *{dividing_question(true, said)}*."
        for true, said, share, n in top_confusions(run, count)
    ]
    if not lines:
        return Words(f"No class of {FEW} or more test galaxies is confused with another.")
    return Words("\n".join(["The largest confusions:", "", *lines]))


def describe_recall(run: Run) -> Words:
    """The best and the worst recognised class, and which classes are too rare to tell.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_recall(run))
    Best recognised is ... %); worst is ... Fewer than 10 test galaxies, too few to tell: class ...
    """
    rows = run.metrics["classes"]
    told = [c for c, row in enumerate(rows) if row["support"] >= FEW]
    few = [c for c in range(len(rows)) if c not in told]
    parts = []
    if told:
        order = sorted(told, key=lambda c: rows[c]["recall"])
        worst, best = order[0], order[-1]
        parts.append(
            f"Best recognised is {_class(best)}, with {_recall(rows[best])}; worst is "
            f"{_class(worst)}, with {_recall(rows[worst])}."
        )
        intervals = {c: wilson_interval(rows[c]["recall"], rows[c]["support"]) for c in told}
        above = sum(low > PUBLISHED_RECALL[c] for c, (low, _) in intervals.items())
        below = sum(high < PUBLISHED_RECALL[c] for c, (_, high) in intervals.items())
        parts.append(
            f"The interval lies above the published recall in {above} classes, below it in "
            f"{below}, around it in {len(told) - above - below}"
            + (
                "."
                if run.manifest["source"]["kind"] == "galaxy10"
                else ", but these are not the galaxies of the published test."
            )
        )
    if few:
        named = ", ".join(f"{c + 1} ({rows[c]['support']})" for c in few)
        parts.append(f"Fewer than {FEW} test galaxies, too few to tell: class {named}.")
    return Words(" ".join(parts))


def describe_mistakes(run: Run) -> Words:
    """How many test galaxies are wrong, and at which question the confident mistakes part.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> galclass.describe_mistakes(run)
    '... of 45 test galaxies are wrong; the ... shown got ... % to ... %. ...'
    """
    metrics, wrong = run.metrics, run.mistakes
    n = round(metrics["galaxies"] * (1 - metrics["accuracy"]))
    shown = len(wrong["labels"])
    if not shown:
        return Words(f"None of the {metrics['galaxies']:,} test galaxies is wrong.")
    pairs = zip(wrong["labels"].tolist(), wrong["predicted"].tolist(), strict=True)
    question, times = Counter(dividing_question(*pair) for pair in pairs).most_common(1)[0]
    return Words(
        f"{n:,} of {metrics['galaxies']:,} test galaxies are wrong; the {shown} shown got "
        f"{_percent(wrong['probabilities'].min(), 0)} to "
        f"{_percent(wrong['probabilities'].max(), 0)}. In {times} of them network and volunteers "
        f"part at *{question}*."
    )


def describe_attribution(model: "keras.Model", images: Images) -> Words:
    """How much of the evidence lies where the galaxy is.

    Parameters
    ----------
    model : keras.Model
    images : ndarray of uint8, shape (n, 69, 69, 3)
        As for :func:`galclass.plot_attribution`, which shows the first ten.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(2)
    >>> print(galclass.describe_attribution(galclass.load_pretrained(), images))
    In these 2 pictures, ... % of the evidence lies in the central quarter of the picture ...
    """
    from .attribution import grad_cam

    maps = grad_cam(model, images[:10])
    side = maps.shape[1]
    inside = slice(side // 4, side - side // 4)
    sums = maps.sum(axis=(1, 2))
    shares = maps[:, inside, inside].sum(axis=(1, 2))[sums > 0] / sums[sums > 0]
    if not len(shares):
        return Words("The last convolution layer speaks for none of these classes.")
    return Words(
        f"In these {len(maps)} pictures, {_percent(shares.mean(), 0)} of the evidence lies in the "
        f"central quarter of the picture on average, where the galaxy is; in one of them only "
        f"{_percent(shares.min(), 0)}."
    )


def describe_reliability(run: Run) -> Words:
    """Whether the network is too sure of itself, and what the temperature changes.

    Parameters
    ----------
    run : galclass.runs.Run
        Evaluated.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_reliability(run))
    Its mean confidence is ... % where ... % are right: ... The temperature ... %.
    """
    metrics = run.metrics
    confidence = float(run.predictions["probabilities"].max(axis=1).mean())
    gap = confidence - metrics["accuracy"]
    judged = "overconfident" if gap > 0.01 else "underconfident" if gap < -0.01 else "about right"
    before = metrics["uncalibrated"]["calibration_error"]
    after = metrics["calibrated"]["calibration_error"]
    changed = "lowers" if after < before - 5e-4 else "raises" if after > before + 5e-4 else "keeps"
    return Words(
        f"Its mean confidence is {_percent(confidence)} where {_percent(metrics['accuracy'])} are "
        f"right: {judged}. The temperature {metrics['temperature']:.2f} {changed} the calibration "
        f"error, from {_percent(before)} to {_percent(after)}."
    )


def describe_comparison(runs: list[Run]) -> Words:
    """Which of two runs is right more often on the same test galaxies, and whether by chance.

    The chance is that of an exact McNemar test (1947, Psychometrika 12, 153): of the galaxies on
    which one run alone is right, each is as likely to be the one's as the other's.

    Parameters
    ----------
    runs : list of galclass.runs.Run
        Two, evaluated, on the same galaxies.

    Returns
    -------
    Words

    Raises
    ------
    ValueError
        Not two runs, or runs on different galaxies.

    Examples
    --------
    >>> import galclass
    >>> runs = [galclass.load_run("runs/default"), galclass.load_run("runs/mine")]
    >>> print(galclass.describe_comparison(runs))
    On the same 45 test galaxies, ... alone is right on ... (p = ...). One seed each: ...
    """
    from scipy.stats import binomtest

    check_comparable(runs)
    if len(runs) != 2:
        raise ValueError(f"{len(runs)} runs, expected two")
    right = [
        run.predictions["probabilities"].argmax(axis=1) == run.predictions["labels"] for run in runs
    ]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    names = [f"`{run.manifest['recipe_name']}`" for run in runs]
    reached = " and ".join(
        f"{name} {_percent(run.metrics['accuracy'])} "
        f"({_interval(run.metrics['accuracy_interval'])}) after {len(run.history['epoch'])} epochs"
        for name, run in zip(names, runs, strict=True)
    )
    chance = binomtest(only[0], sum(only)).pvalue if sum(only) else 1.0
    verdict = "more than chance would give" if chance < 0.05 else "which chance alone may give"
    return Words(
        f"On the same {len(right[0]):,} test galaxies, {reached}. {names[0]} alone is right on "
        f"{only[0]:,}, {names[1]} alone on {only[1]:,}, {verdict} (p = {chance:.2g}). One seed "
        "each: another one would move these figures a little."
    )


def describe_simulated_accuracy(measured: dict[str, Any]) -> Words:
    """Accuracy in the lowest and the highest bins of signal-to-noise and inclination.

    Parameters
    ----------
    measured : dict
        From :func:`galclass.evaluate_simulated`.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> run = galclass.load_run("runs/mine")
    >>> print(galclass.describe_simulated_accuracy(galclass.evaluate_simulated(run, 50)))
    These 50 galaxies are simulated for this figure alone; the network was trained on ...
    """
    right, parameters = measured["labels"] == measured["predicted"], measured["parameters"]
    spirals = parameters["kind"] == "spiral"
    trained_on = measured["trained_on"]
    trained = (
        "other simulated galaxies"
        if trained_on["kind"] == "simulated"
        else f"the galaxies of {trained_on['name']}"
    )
    words = (
        f"These {len(right):,} galaxies are simulated for this figure alone; the network was "
        f"trained on {trained} and has {_percent(right.mean(), 0)} of these right. "
    )
    faint, *_, bright = accuracy_in_bins(parameters["signal_to_noise"], right)
    words += (
        f"The fifth with the lowest signal-to-noise (up to {faint[1]:.0f}) is right in "
        f"{_percent(faint[3], 0)}, the fifth with the highest (from {bright[0]:.0f}) in "
        f"{_percent(bright[3], 0)}."
    )
    if spirals.sum() >= 5:
        face, *_, tilted = accuracy_in_bins(parameters["inclination"][spirals], right[spirals])
        words += (
            f" Of the spirals, the most face-on fifth (up to {face[1]:.0f}°) is right in "
            f"{_percent(face[3], 0)}, the most inclined (from {tilted[0]:.0f}°) in "
            f"{_percent(tilted[3], 0)}."
        )
    return Words(words)


def describe_votes(parameters: NDArray[np.void]) -> Words:
    """How clear the majority of the volunteers was.

    Parameters
    ----------
    parameters : structured ndarray, shape (n,)
        From ``galclass.simulate_galaxy10(..., return_parameters=True)``.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> images, labels, true = galclass.simulate_galaxy10(4, return_parameters=True)
    >>> print(galclass.describe_votes(true))
    The clearest of these majorities is ... %, the narrowest ... %, with ... % for the next ...
    """
    votes = np.sort(parameters["votes"], axis=1)
    narrow = int(votes[:, -1].argmin())
    return Words(
        f"The clearest of these majorities is {_percent(votes[:, -1].max(), 0)}, the narrowest "
        f"{_percent(votes[narrow, -1], 0)}, with {_percent(votes[narrow, -2], 0)} for the next "
        "class. Only the winner's name becomes the label: the network never learns how close it "
        "was."
    )


def describe_predictions(table: "Table") -> Words:
    """Of which pictures a network is the most and the least sure.

    Parameters
    ----------
    table : astropy.table.Table
        From :func:`galclass.predict`.

    Returns
    -------
    Words

    Examples
    --------
    >>> import galclass
    >>> images, labels = galclass.simulate_galaxy10(4)
    >>> table = galclass.predict(galclass.load_pretrained(), images)
    >>> print(galclass.describe_predictions(table))
    4 of 4 pictures could be read. It is most sure of ... It is least sure of ...
    """
    good = table[table["error"] == ""]
    if not len(good):
        return Words("No picture could be read; the column `error` says why.")
    parts = [f"{len(good):,} of {len(table):,} pictures could be read."]
    for word, row in (
        ("most", good[int(np.argmax(good["probability"]))]),
        ("least", good[int(np.argmin(good["probability"]))]),
    ):
        parts.append(
            f"It is {word} sure of {row['source']}: {_class(int(row['class']))} with "
            f"{_percent(float(row['probability']), 0)}, before {_class(int(row['runner_up']))}."
        )
    return Words(" ".join(parts))


def _class(c):
    return f"{c + 1} '{CLASS_NAMES[c]}'"


def _percent(share, digits=1):
    return f"{100 * share:.{digits}f} %"


def _interval(bounds, digits=1):
    low, high = bounds
    return f"{100 * low:.{digits}f} to {_percent(high, digits)}"


def _recall(row):
    interval = wilson_interval(row["recall"], row["support"])
    return f"{_percent(row['recall'], 0)} ({_interval(interval, 0)})"
