import numpy as np
import pytest

from galclass import Recipe
from galclass.data.split import Split
from galclass.network._tensorflow import tf
from galclass.training.session import Session, _optimizer


@pytest.mark.parametrize("epochs", [1, 2, 3, 30])
@pytest.mark.parametrize("warmup", [0, 2, 100])
def test_every_schedule_rises_to_its_peak_and_ends_at_zero(epochs, warmup):
    recipe = Recipe(epochs=epochs, schedule="cosine", warmup_epochs=warmup, learning_rate=0.1)
    schedule = _optimizer(recipe, 20, "float32")._learning_rate
    rates = [float(schedule(step)) for step in range(20 * epochs + 1)]
    assert max(rates) == pytest.approx(0.1, rel=0.05)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    peak = int(np.argmax(rates))
    assert peak == min(20 * warmup, 10 * epochs)


@pytest.mark.parametrize("averaging", [0.1, 0.5])
@pytest.mark.parametrize("steps", [40, 400])
def test_the_average_remembers_its_share_of_the_training_however_long_it_is(averaging, steps):
    """The mean age of what is averaged, in steps, is that share of all."""
    time = np.arange(1.0, steps + 1)
    weights = np.zeros(steps)
    for t in range(steps):
        decay = (1 + time[t]) / (1 + time[t] + 1 / averaging)
        weights *= decay
        weights[t] += 1 - decay
    age = weights @ (steps - time) / weights.sum()
    assert age / steps == pytest.approx(averaging / (1 + averaging), rel=0.2)


IMAGES = np.random.default_rng(0).integers(0, 256, (12, 69, 69, 3), np.uint8)
LABELS = np.arange(12, dtype=np.int32) % 3


def small_session(**settings):
    recipe = Recipe(epochs=2, batch_size=4, dropout=0, dense_dropout=0, **settings)
    network = {"filters": ((2,),), "dense_units": (3,), "classes": 3}
    parts = Split(np.arange(12), np.arange(4), np.arange(0))
    return Session(recipe, network, 0, "float32", parts, IMAGES, LABELS)


def test_many_small_trainings_are_not_warned_of_as_one_function_traced_anew(caplog):
    for _ in range(6):
        small_session().step(tf.constant(IMAGES[:4]), tf.constant(LABELS[:4]))
    assert "retracing" not in caplog.text


def test_the_kept_weights_are_that_average():
    session = small_session(averaging=0.25)
    mean = session.kept.trainable_variables[0].numpy()
    for t in range(1, 6):
        session.step(tf.constant(IMAGES[:4]), tf.constant(LABELS[:4]))
        decay = (1 + t) / (1 + t + 4)
        mean = decay * mean + (1 - decay) * session.model.trainable_variables[0].numpy()
    np.testing.assert_allclose(session.kept.trainable_variables[0].numpy(), mean, atol=1e-6)
