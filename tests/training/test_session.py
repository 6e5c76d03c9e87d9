"""The schedule, the moving average and the kept epoch are those that the recipe names."""

import numpy as np
import pytest

from galclass import Recipe
from galclass.data.split import Split
from galclass.errors import ParameterError, RunError
from galclass.network._tensorflow import keras, tf
from galclass.run import Run
from galclass.training import session as session_module
from galclass.training.recipe import CHOICES
from galclass.training.session import Session, build_optimizer

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3
SMALL = {"input_shape": (32, 32, 3), "classes": 3, "filters": ((2,),), "dense_units": (3,)}


def make_session(precision="float32", **settings):
    settings = {"epochs": 3, "batch_size": 4, "dropout": 0, "dense_dropout": 0, **settings}
    return Session(
        recipe=Recipe(**settings),
        network=SMALL,
        seed=0,
        precision=precision,
        parts=Split(np.arange(12), np.arange(4), np.arange(0)),
        images=IMAGES,
        labels=LABELS,
    )


def make_step(session):
    session.step(tf.constant(IMAGES[:4]), tf.constant(LABELS[:4], tf.int32))


def weights_of(model):
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("epochs", [1, 3, 30])
@pytest.mark.parametrize("warmup", [0, 2, 100])
def test_schedule_rises_to_the_learning_rate_and_ends_at_zero(epochs, warmup):
    recipe = Recipe(epochs=epochs, schedule="cosine", warmup_epochs=warmup, learning_rate=0.1)
    schedule = build_optimizer(recipe, 10, "float32")._learning_rate
    rates = [float(schedule(step)) for step in range(10 * epochs + 1)]
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert np.argmax(rates) == min(10 * warmup, 5 * epochs)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("field", ["optimizer", "schedule"])
def test_choice_that_is_not_implemented_is_refused(field, monkeypatch):
    monkeypatch.setitem(CHOICES, field, ("new",))
    recipe = Recipe(epochs=1, **{field: "new"})
    with pytest.raises(ParameterError, match=f"{field}='new' is not implemented"):
        build_optimizer(recipe, 10, "float32")


@pytest.mark.slow
def test_many_small_trainings_are_not_taken_for_one_function_that_is_traced_again(caplog):
    for _ in range(6):
        make_step(make_session())
    assert "retracing" not in caplog.text


def test_float16_scales_the_loss():
    session = make_session("float16")
    before = weights_of(session.model)
    make_step(session)
    after = weights_of(session.model)
    assert type(session.optimizer).__name__ == "LossScaleOptimizer"
    assert all(np.isfinite(array).all() for array in after)
    assert not np.array_equal(before[0], after[0])


def test_diverged_training_is_an_error():
    session = make_session(learning_rate=1e30)
    with pytest.raises(RunError, match=r"diverged in epoch 1 .*lower the learning rate"):
        session.run_epoch(verbose=False)


@pytest.mark.parametrize("averaging", [0.1, 0.5])
def test_average_covers_the_same_fraction_of_a_short_and_a_long_training(averaging):
    session = make_session(averaging=averaging, learning_rate=1e-12)
    variable = session.model.trainable_variables[-1]
    average = session.averaged.trainable_variables[-1]
    mean_step = {}
    for step in range(1, 161):
        variable.assign(tf.fill(variable.shape, float(step)))
        make_step(session)
        mean_step[step] = average.numpy()[0]
    for steps in (40, 160):
        mean_age = (steps - mean_step[steps]) / steps
        assert mean_age == pytest.approx(averaging / (1 + averaging), rel=0.2)


def run_epochs(session, accuracies, run, monkeypatch):
    """Run and save epochs with given validation accuracies; return the weights after each."""
    correct = np.eye(3)[LABELS[:4]]
    wrong = np.roll(correct, 1, axis=1)
    weights = []
    for accuracy in accuracies:
        is_correct = np.arange(4) < 4 * accuracy
        predicted = np.where(is_correct[:, None], correct, wrong)
        monkeypatch.setattr(session_module, "predict_proba", lambda *_, p=predicted: p)
        session.run_epoch(verbose=False)
        session.save(run)
        weights.append(weights_of(session.averaged))
    return weights


@pytest.mark.parametrize(("keep", "averaging", "kept_epoch"), [("best", 0.2, 2), ("last", 0, 3)])
def test_recipe_says_which_epoch_is_kept(keep, averaging, kept_epoch, tmp_path, monkeypatch):
    session = make_session(keep=keep, averaging=averaging)
    weights = run_epochs(session, [0.5, 0.75, 0.25], Run(tmp_path), monkeypatch)
    assert session.kept_epoch == kept_epoch
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_equal(weights_of(model), weights[kept_epoch - 1])
    assert (session.averaged is session.model) == (not averaging)


def test_restored_session_equals_the_saved_one_and_writes_its_files(tmp_path, monkeypatch):
    session = make_session(averaging=0.2)
    weights = run_epochs(session, [0.75, 0.25], Run(tmp_path), monkeypatch)
    (tmp_path / "model.keras").unlink()
    (tmp_path / "history.csv").unlink()
    restored = make_session(averaging=0.2)
    restored.restore(Run(tmp_path))
    assert restored.rows == session.rows
    assert restored.kept_epoch == 1
    for ours, theirs in zip(restored.variables, session.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_equal(weights_of(model), weights[0])
    assert Run(tmp_path).history["val_accuracy"].tolist() == [0.75, 0.25]
