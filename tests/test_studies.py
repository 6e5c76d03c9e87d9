import numpy as np
import pytest

from galclass import Recipe, study
from galclass.evaluation import compute_metrics
from galclass.plotting import plot_study
from galclass.runs import RunError
from galclass.studies import load_study


def test_a_study_reports_the_spread_and_the_ensemble_and_goes_on(pictures, tmp_path):
    settings = {
        "out": tmp_path / "study",
        "recipe": Recipe(epochs=1, batch_size=32),
        "precision": "float32",
        "verbose": False,
    }
    study(*pictures, seeds=1, **settings)
    first = (tmp_path / "study" / "seed-0" / "model.keras").stat().st_mtime_ns
    summary = study(*pictures, seeds=2, **settings)
    runs = load_study(tmp_path / "study")
    assert (tmp_path / "study" / "seed-0" / "model.keras").stat().st_mtime_ns == first
    accuracies = [run.metrics["accuracy"] for run in runs]
    assert summary["seeds"] == [0, 1]
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    together = np.mean([run.predictions["probabilities"] for run in runs], axis=0)
    expected = compute_metrics(runs[0].predictions["labels"], together)
    assert summary["ensemble"]["log_loss"] == pytest.approx(expected["log_loss"])
    assert len(plot_study(runs).axes[1].lines) == 2


def test_a_study_of_folds_says_so(pictures, tmp_path):
    settings = {
        "recipe": Recipe(epochs=1, batch_size=32),
        "precision": "float32",
        "verbose": False,
    }
    summary = study(*pictures, folds=2, out=tmp_path, **settings)
    assert summary["splits"] == ["fold-1-of-2", "fold-2-of-2"]
    assert summary["seeds"] == [0, 0]
    assert [run.path.name for run in load_study(tmp_path)] == ["fold-1", "fold-2"]
    with pytest.raises(ValueError, match="holds a study of folds"):
        study(*pictures, seeds=2, out=tmp_path, **settings)
    with pytest.raises(RunError, match=r"cannot resume.*fold-1-of-2"):
        study(*pictures, folds=3, out=tmp_path, **settings)
    with pytest.raises(ValueError, match="expected one of them"):
        study(*pictures, seeds=2, folds=2, out=tmp_path / "new", **settings)
    with pytest.raises(ValueError, match="folds=1"):
        study(*pictures, folds=1, out=tmp_path / "new", **settings)
    assert not (tmp_path / "new").exists()
