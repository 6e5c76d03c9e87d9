"""The optimizer, the moving average and the kept epoch are those that the recipe names."""

import numpy as np
import pytest

from galclass import Recipe
from galclass.data.split import Split
from galclass.errors import RunError
from galclass.network._tensorflow import keras, tf
from galclass.run import Run
from galclass.training import session as session_module
from galclass.training.muon import Muon
from galclass.training.recipe import CHOICES
from galclass.training.session import Session, build_optimizer

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3
SMALL = {"input_shape": (32, 32, 3), "classes": 3, "filters": ((2,),), "dense_units": (3,)}


def make_session(precision="float32", **settings):
    settings = {"epochs": 3, "batch_size": 4, **settings}
    return Session(
        recipe=Recipe(**settings),
        network=SMALL,
        seed=0,
        precision=precision,
        parts=Split(np.arange(12), np.arange(4), np.arange(0)),
        images=IMAGES,
        labels=LABELS,
    )


@pytest.fixture
def eager():
    """Run a few small steps without compiling them, which takes longer than the steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def make_step(session):
    session.step(tf.constant(IMAGES[:4]), tf.constant(LABELS[:4], tf.int32))


def weights_of(model):
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("warmup", [0, 2, 100])
def test_schedule_rises_to_the_learning_rate_and_ends_at_zero(epochs, warmup):
    recipe = Recipe(epochs=epochs, schedule="cosine", warmup_epochs=warmup, learning_rate=0.1)
    optimizer = build_optimizer(recipe, 10, "float32")
    rates = []
    for step in range(10 * epochs + 1):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert np.argmax(rates) == min(10 * warmup, 5 * epochs)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


# A choice that is new in CHOICES must be added here, too.
KINDS = {"adam": keras.optimizers.Adam, "muon": Muon}
LAST_RATES = {"constant": 0.1, "cosine": 0.0}


@pytest.mark.parametrize("weight_decay", [0, 0.02])
@pytest.mark.parametrize("schedule", CHOICES["schedule"])
@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_every_choice_gives_an_optimizer_with_the_settings_of_the_recipe(
    optimizer, schedule, weight_decay
):
    settings = {"optimizer": optimizer, "schedule": schedule, "weight_decay": weight_decay}
    recipe = Recipe(epochs=2, learning_rate=0.1, **settings)
    built = build_optimizer(recipe, 10, "float32")
    assert isinstance(built, KINDS[optimizer])
    assert isinstance(built, Muon) == (optimizer == "muon")
    assert float(built.learning_rate) == pytest.approx(0.1)
    kernel = keras.Variable(np.ones((2, 2), np.float32), name="kernel")
    bias = keras.Variable(np.ones(2, np.float32), name="bias")
    built.apply([tf.zeros((2, 2)), tf.zeros(2)], [kernel, bias])
    np.testing.assert_allclose(kernel, 1 - 0.1 * weight_decay, rtol=1e-6)
    np.testing.assert_array_equal(bias, 1)
    built.iterations.assign(20)
    assert float(built.learning_rate) == pytest.approx(LAST_RATES[schedule], abs=1e-8)


@pytest.mark.slow
def test_repeated_small_trainings_give_no_retracing_warning(caplog):
    for _ in range(6):
        make_step(make_session())
    assert "retracing" not in caplog.text


def test_float16_scales_the_loss(eager):
    session = make_session("float16")
    before = weights_of(session.model)
    make_step(session)
    after = weights_of(session.model)
    assert isinstance(session.optimizer, keras.optimizers.LossScaleOptimizer)
    assert all(np.isfinite(array).all() for array in after)
    assert not np.array_equal(before[0], after[0])


def test_diverged_training_is_an_error(eager):
    session = make_session(learning_rate=1e30)
    with pytest.raises(RunError, match=r"diverged in epoch 1 .*lower the learning rate"):
        session.run_epoch(verbose=False)


def test_average_covers_the_same_fraction_of_a_short_and_a_long_training():
    session = make_session(averaging=0.2, learning_rate=1e-12)
    variable = session.model.trainable_variables[-1]
    average = session.averaged.trainable_variables[-1]
    mean_step = {}
    for step in range(1, 81):
        variable.assign(tf.fill(variable.shape, float(step)))
        make_step(session)
        mean_step[step] = average.numpy()[0]
    for steps in (20, 80):
        mean_age = (steps - mean_step[steps]) / steps
        assert mean_age == pytest.approx(0.2 / (1 + 0.2), rel=0.2)


@pytest.mark.parametrize(("keep", "averaging", "kept_epoch"), [("best", 0.2, 1), ("last", 0, 2)])
def test_restored_session_keeps_the_epoch_of_the_recipe_and_trains_to_the_same_bits(
    keep, averaging, kept_epoch, tmp_path, monkeypatch, eager
):
    settings = {"keep": keep, "averaging": averaging, "symmetries": True}
    session = make_session(**settings)
    weights = []
    for correct in (3, 1):  # of four predictions, all of which are sure
        predicted = np.eye(3)[(LABELS[:4] + (np.arange(4) >= correct)) % 3]
        monkeypatch.setattr(session_module, "predict_proba", lambda *_, p=predicted: p)
        session.run_epoch(verbose=False)
        session.save(Run(tmp_path))
        weights.append(weights_of(session.averaged))
    (tmp_path / "model.keras").unlink()
    (tmp_path / "history.csv").unlink()
    restored = make_session(**settings)
    restored.restore(Run(tmp_path))
    assert restored.kept_epoch == session.kept_epoch == kept_epoch
    assert Run(tmp_path).history["val_accuracy"].tolist() == [0.75, 0.25]
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_equal(weights_of(model), weights[kept_epoch - 1])
    for one in (session, restored):
        one.run_epoch(verbose=False)
    assert restored.rows == session.rows
    for ours, theirs in zip(restored.variables, session.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
