"""The network that predicts, with its calibration and its record."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..data.arrays import check_class_names
from ..errors import DataError, ParameterError
from ..evaluation.calibration import Calibration, calibration_of
from ..evaluation.thresholds import thresholds
from ..files import PathLike
from ..images.prepare import DEFAULT_CROP, Framing, check_crop
from ..network.options import Precision, Symmetric, check_symmetric
from ..network.weights import weights_sha256
from ..run import Run, as_run, load_pretrained

if TYPE_CHECKING:
    import keras

# None is the pretrained network.
AnyNetwork: TypeAlias = "Run | PathLike | keras.Model | None"

NO_SAMPLE = 2.0  # a threshold that no probability reaches


class Network(NamedTuple):
    """A network that is ready to predict.

    Parameters
    ----------
    model : keras.Model
    calibration : Calibration
    framing : Framing
        How images are cropped and resized for the network.
    record : dict
        See :func:`identify_network`.
    usual : dict of ndarray, optional
        Statistics of the training images, see :mod:`galclass.evaluation.unusual`.
    cuts : ndarray of float32, shape (classes,), optional
        Smallest probability in the sample of each class.
    """

    model: "keras.Model"
    calibration: Calibration
    framing: Framing
    record: dict[str, Any]
    usual: dict[str, NDArray[np.float64]] | None = None
    cuts: NDArray[np.float32] | None = None


def load_network(
    run: AnyNetwork = None,
    *,
    class_names: Sequence[str] | None = None,
    purity: float | None = None,
    symmetric: Symmetric | None = None,
    precision: Precision = "auto",
    crop: float | None = None,
) -> Network:
    """Load a network; see :func:`galclass.predict` for the parameters and errors.

    A new option must be an entry of :attr:`Network.record`: only what is in the record is in the
    metadata of a table, and is compared when a survey resumes.
    """
    from ..network.precision import choose_precision

    if purity is not None and (is_model(run) or symmetric is not None):
        raise ParameterError(
            f"purity={purity!r} needs the thresholds of a run, which hold for its own averaging; "
            "give a run, and leave symmetric out"
        )
    if not is_model(run):
        run = open_run(run)
    record = identify_network(run, class_names=class_names, symmetric=symmetric, crop=crop)
    usual = None
    cuts = None
    if is_model(run):
        model = run
    else:
        usual = run.usual
        if purity is not None:
            record["purity"] = purity
            cuts = _choose_cuts(run, purity)
        precision = choose_precision(precision)
        record["precision"] = precision
        model = run.load_model(precision=precision)
    return Network(
        model=model,
        calibration=Calibration.from_record(record),
        framing=Framing(record["image_size"], record["crop"], force=record["crop_all"]),
        record=record,
        usual=usual,
        cuts=cuts,
    )


def identify_network(
    run: "Run | keras.Model",
    *,
    class_names: Sequence[str] | None = None,
    symmetric: Symmetric | None = None,
    crop: float | None = None,
) -> dict[str, Any]:
    """Describe a network and the settings it predicts with.

    For a run, this does not import TensorFlow.

    Returns
    -------
    dict
        ``galclass`` (version), ``network`` (name), ``sha256`` (of the weights), ``class_names``,
        the calibration as :meth:`galclass.evaluation.calibration.Calibration.record` returns it,
        ``symmetric``, ``image_size`` (width and height of the network's images), ``crop`` (a
        number, or None for whole images), ``crop_all`` (True if images of the network's own size
        are cropped as well), and for a Keras network ``precision``: a run's is chosen when its
        network is loaded.

    Raises
    ------
    DataError, ParameterError, RunError
        See :func:`galclass.predict`.
    """
    if is_model(run):
        record = _describe_model(run, class_names)
    else:
        record = _describe_run(run, class_names)
    if symmetric is not None:
        record["symmetric"] = check_symmetric(symmetric)
    record["crop_all"] = crop is not None
    if crop is not None:
        record["crop"] = check_crop(crop)
    return record


def is_model(run: Any) -> "TypeGuard[keras.Model]":
    """Return True for a Keras network, without importing Keras."""
    return hasattr(run, "get_weights")


def open_run(run: Run | PathLike | None) -> Run:
    """Return a run; None is the pretrained network."""
    if run is None:
        return load_pretrained()
    return as_run(run)


def _describe_run(run: Run, class_names: Sequence[str] | None) -> dict[str, Any]:
    run.require_complete()
    if class_names is not None:
        raise ParameterError(
            f"class_names={class_names!r} for a run, which has its own names; leave them out"
        )
    manifest = run.manifest
    names = run.class_names
    classes = manifest["network"].get("classes")
    if classes != len(names):
        raise DataError(
            f"{run.path}: a network of {classes} classes with {len(names)} names, expected one "
            "name per class; copy the run again"
        )
    return {
        "galclass": __version__,
        "network": run.path.resolve().name,
        "sha256": manifest.get("weights_sha256"),
        "class_names": list(names),
        **calibration_of(run).record(),
        "symmetric": run.symmetric,
        "image_size": run.image_shape[0],
        "crop": run.origin.crop,
    }


def _describe_model(model: "keras.Model", class_names: Sequence[str] | None) -> dict[str, Any]:
    problem = _find_problem(model)
    if problem is not None:
        raise DataError(
            f"the network {model.name!r} {problem}; expected square uint8 images of 3 channels "
            "and probabilities of two or more classes, see galclass.build_cnn"
        )
    classes = model.output_shape[1]
    if class_names is None:
        names = tuple(str(c) for c in range(classes))
    else:
        names = check_class_names(class_names)
    if len(names) != classes:
        raise ParameterError(
            f"class_names={class_names!r} for a network of {classes} classes, expected one name "
            "per class"
        )
    precisions = sorted({layer.compute_dtype for layer in model.layers})
    return {
        "galclass": __version__,
        "network": model.name,
        "sha256": weights_sha256(model.get_weights()),
        "class_names": list(names),
        **Calibration().record(),
        "symmetric": False,
        "precision": ", ".join(precisions),
        "image_size": model.input_shape[1],
        "crop": DEFAULT_CROP,
    }


def _choose_cuts(run: Run, purity: float) -> NDArray[np.float32]:
    """Return the smallest probability in the sample of each class."""
    cuts = thresholds(run, purity=purity)["threshold"]
    filled = np.ma.filled(np.ma.asarray(cuts, float), NO_SAMPLE)
    # float32 like the probabilities; otherwise rounding could exclude a galaxy exactly at the
    # threshold.
    return filled.astype(np.float32)


def _find_problem(model: "keras.Model") -> str | None:
    """Return the reason why a network would give wrong answers without an error."""
    from ..network._tensorflow import keras

    if not getattr(model, "built", True) or not getattr(model, "inputs", None):
        return "is not built"
    image_shape = model.input_shape[1:]
    output_shape = model.output_shape[1:]
    if not _is_image(image_shape) or len(output_shape) != 1 or (output_shape[0] or 0) < 2:
        return f"takes {image_shape} and gives {output_shape}"
    rescales = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    if model.inputs[0].dtype != "uint8" and not rescales:
        return "does not rescale its images; put keras.layers.Rescaling(1 / 255) first"
    noise = np.random.default_rng(0).integers(0, 256, (4, *image_shape), np.uint8)
    outputs = np.asarray(model(noise, training=False), np.float32)
    are_probabilities = np.allclose(outputs.sum(axis=1), 1, atol=1e-3) and outputs.min() >= 0
    if not are_probabilities:
        return "gives no probabilities, but for example logits; end it with a softmax"
    return None


def _is_image(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 3 and None not in shape and shape[0] == shape[1] and shape[2] == 3
