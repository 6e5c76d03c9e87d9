import json

import numpy as np
import pytest

from galclass import Recipe, study
from galclass.errors import ParameterError, RunError
from galclass.evaluation.metrics import compute_metrics
from galclass.studies import doubtful_labels, load_study

QUICK = {"recipe": Recipe(epochs=1, batch_size=32), "precision": "float32", "verbose": False}


@pytest.mark.slow
def test_a_study_reports_the_spread_and_the_ensemble_and_resumes(images_of_brightness, tmp_path):
    study(*images_of_brightness, out=tmp_path, seeds=1, **QUICK)
    first = (tmp_path / "seed-0" / "model.keras").stat().st_mtime_ns
    summary = study(*images_of_brightness, out=tmp_path, seeds=np.int64(2), **QUICK)
    runs = load_study(tmp_path)
    assert (runs[0].path / "model.keras").stat().st_mtime_ns == first
    accuracies = [run.metrics["accuracy"] for run in runs]
    best = [run.history["val_accuracy"].max() for run in runs]
    together = np.mean([run.predictions["probabilities"] for run in runs], axis=0)
    expected = compute_metrics(runs[0].predictions["labels"], together)
    assert summary["seeds"] == [run.manifest["seed"] for run in runs] == [0, 1]
    assert summary["mean"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert summary["std"]["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
    assert summary["val_accuracy"]["mean"] == pytest.approx(np.mean(best))
    assert summary["ensemble"]["log_loss"] == pytest.approx(expected["log_loss"])
    assert json.loads((tmp_path / "study.json").read_text()) == summary
    with pytest.raises(RunError, match="expected all folds"):
        doubtful_labels(tmp_path)


@pytest.mark.slow
def test_a_study_of_folds_records_that_and_is_not_mixed_with_another(
    images_of_brightness, tmp_path
):
    summary = study(*images_of_brightness, folds=2, out=tmp_path, **QUICK)
    assert summary["splits"] == ["fold-1-of-2", "fold-2-of-2"]
    assert summary["seeds"] == [0, 0]
    assert [run.path.name for run in load_study(tmp_path)] == ["fold-1", "fold-2"]
    table = doubtful_labels(tmp_path)
    assert sorted(table["index"]) == list(range(100))
    assert (np.diff(table["probability"]) >= 0).all()
    run = load_study(tmp_path)[1]
    part, row = run.validation, table[table["index"] == run.validation["indices"][3]][0]
    expected = run.calibration.apply(part["probabilities"])[3, part["labels"][3]]
    assert row["probability"] == pytest.approx(expected, rel=1e-5)
    manifest = run.path / "manifest.json"
    known = run.manifest | {"start": {"origin": run.manifest["origin"], "start": None}}
    simulated = run.manifest["origin"] | {"kind": "simulated"}
    both = known | {"origin": simulated, "start": {"origin": simulated, "start": None}}
    for knowing in (known, both):
        manifest.write_text(json.dumps(knowing))
        with pytest.raises(RunError, match="may know these galaxies"):
            doubtful_labels(tmp_path)
    with pytest.raises(ParameterError, match="folds"):
        study(*images_of_brightness, seeds=2, out=tmp_path, **QUICK)
    with pytest.raises(RunError, match=r"resume.*fold-1-of-2"):
        study(*images_of_brightness, folds=3, out=tmp_path, **QUICK)


def test_a_study_that_makes_no_sense_is_refused(images_of_brightness, tmp_path):
    for words, keywords in (
        ("expected", {"seeds": 2, "folds": 2}),
        ("expected", {"split": "published", "folds": 2}),
        ("folds=1", {"folds": 1}),
        ("seeds=True", {"seeds": True}),
        (r"\['seed'\], expected .*'recipe'", {"seed": 3}),
        (r"\['overwrite'\]", {"overwrite": True}),
    ):
        with pytest.raises(ParameterError, match=words):
            study(*images_of_brightness, out=tmp_path / "new", **QUICK, **keywords)
    assert not (tmp_path / "new").exists()
