"""Studies: the spread over seeds and folds, the ensemble, and out-of-fold probabilities."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table

from galclass import Recipe, study
from galclass.data.dataset import Origin
from galclass.errors import ParameterError, RunError
from galclass.evaluation.calibration import calibration_of
from galclass.evaluation.metrics import HEADLINE, compute_metrics
from galclass.studies import load_study

QUICK = {"recipe": Recipe(epochs=1, batch_size=32), "precision": "float32", "verbose": False}


@pytest.mark.slow
def test_study_reports_spread_and_ensemble_and_resumes(images_of_brightness, tmp_path):
    study(*images_of_brightness, out=tmp_path, seeds=1, **QUICK)
    first = (tmp_path / "seed-0" / "model.keras").stat().st_mtime_ns
    summary = study(*images_of_brightness, out=tmp_path, seeds=np.int64(2), **QUICK)
    runs = load_study(tmp_path)
    assert (runs[0].path / "model.keras").stat().st_mtime_ns == first
    accuracies = [run.metrics["accuracy"] for run in runs]
    best = [run.history["val_accuracy"].max() for run in runs]
    together = np.mean(
        [calibration_of(run).apply(run.predictions["probabilities"]) for run in runs], axis=0
    )
    expected = compute_metrics(runs[0].predictions["labels"], together)
    assert summary["seeds"] == [run.manifest["seed"] for run in runs] == [0, 1]
    # The classes differ from Galaxy10's.
    assert summary["mean"].keys() == HEADLINE.keys() - {"reweighted_accuracy"}
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert summary["val_accuracy"]["mean"] == pytest.approx(np.mean(best))
    assert summary["ensemble"]["log_loss"] == pytest.approx(expected["log_loss"])
    assert json.loads((tmp_path / "study.json").read_text()) == summary
    assert not (tmp_path / "out_of_fold.npz").exists()


@pytest.fixture(scope="module")
def folds(images_of_brightness, tmp_path_factory):
    """The folder of a study of two folds, and its summary."""
    out = tmp_path_factory.mktemp("folds")
    return out, study(*images_of_brightness, folds=2, out=out, **QUICK)


@pytest.mark.slow
def test_study_of_folds_is_not_mixed_with_another(folds, images_of_brightness):
    out, summary = folds
    assert summary["splits"] == ["fold-1-of-2", "fold-2-of-2"]
    assert summary["seeds"] == [0, 0]
    assert [run.path.name for run in load_study(out)] == ["fold-1", "fold-2"]
    with pytest.raises(ParameterError, match="folds"):
        study(*images_of_brightness, seeds=2, out=out, **QUICK)
    with pytest.raises(RunError, match=r"resume.*fold-1-of-2"):
        study(*images_of_brightness, folds=3, out=out, **QUICK)


@pytest.mark.slow
def test_each_galaxy_is_judged_by_networks_that_were_not_trained_on_it(folds, images_of_brightness):
    out, _ = folds
    labels = images_of_brightness[1]
    arrays = np.load(out / "out_of_fold.npz")
    assert arrays["index"].tolist() == list(range(100))
    np.testing.assert_array_equal(arrays["label"], labels)
    runs = load_study(out)
    for run in runs:
        fold = run.validation
        expected = calibration_of(run).apply(fold["probabilities"])
        np.testing.assert_allclose(
            arrays["probabilities"][fold["indices"]], expected, rtol=1e-5, atol=1e-7
        )
    test = [calibration_of(run).apply(run.predictions["probabilities"]) for run in runs]
    np.testing.assert_allclose(
        arrays["probabilities"][runs[0].predictions["indices"]],
        np.mean(test, axis=0),
        rtol=1e-5,
        atol=1e-7,
    )
    table = Table.read(out / "out_of_fold.ecsv")
    np.testing.assert_array_equal(table["label"], labels)
    np.testing.assert_allclose(table["p3"], arrays["probabilities"][:, 3], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorFlow's, repeated by pytest.warns
def test_start_that_may_know_the_galaxies_gives_no_out_of_fold_probabilities(
    images_of_brightness, tmp_path
):
    real = Origin.of_arrays(*images_of_brightness)
    simulated = replace(real, kind="simulated")
    settings = {**QUICK, "folds": 2, "start": "simulated"}
    study(*images_of_brightness, real, out=tmp_path / "real", **settings)
    assert (tmp_path / "real" / "out_of_fold.npz").exists()
    with pytest.warns(UserWarning, match="may know these galaxies"):
        study(*images_of_brightness, simulated, out=tmp_path / "simulated", **settings)
    assert not (tmp_path / "simulated" / "out_of_fold.npz").exists()


def test_contradictory_settings_are_refused(images_of_brightness, tmp_path):
    for words, settings in (
        ("expected", {"seeds": 2, "folds": 2}),
        ("expected", {"split": "published", "folds": 2}),
        ("folds=1", {"folds": 1}),
        ("seeds=True", {"seeds": True}),
        (r"\['seed'\], expected .*'recipe'", {"seed": 3}),
        (r"\['overwrite'\]", {"overwrite": True}),
        ("'spark'", {"engine": "spark"}),
    ):
        with pytest.raises(ParameterError, match=words):
            study(*images_of_brightness, out=tmp_path / "new", **QUICK, **settings)
    assert not (tmp_path / "new").exists()
