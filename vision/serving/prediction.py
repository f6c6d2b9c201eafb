"""Classify image files with a trained model, prepared as its training images were."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from vision.base.errors import ImageError, PipelineError
from vision.data.dataset import RAW_DIR, load_manifest
from vision.data.formats import FORMATS
from vision.data.images import FULL_BITS, decode_image
from vision.data.surveys import NO_SUFFIX, count_suffixes
from vision.evaluation.probabilities import check_finite
from vision.models.inference import Classifier, inferring, prepare_device
from vision.models.networks import load_model
from vision.serving.calibration import find_temperature

MODELS_DIR = Path("data/models")
BATCH = 64
MAX_SUFFIXES = 5  # named of the files in a folder without images


@dataclass(frozen=True)
class Prediction:
    """What a model says of a file, or what is wrong with the file."""

    file: str
    classes: tuple[str, ...] = ()  # the most probable first
    probabilities: tuple[float, ...] = ()
    error: str = ""


def read_bits() -> int:
    """Return how many bits hold the values of the training images, where they had more than 8."""
    manifest = RAW_DIR / "manifest.json"
    return int(load_manifest().get("bits", FULL_BITS)) if manifest.exists() else FULL_BITS


class Predictor:
    """A trained model, ready for image files; its confidence is calibrated where it can be."""

    def __init__(self, path: Path) -> None:
        model, self.spec = load_model(path)
        self.path = path
        self.device = prepare_device()
        self.bits = read_bits()
        self.calibration = find_temperature(path)
        self.classify = Classifier(model, self.spec).eval().to(self.device)

    def predict(self, files: Iterable[str], top: int) -> Iterator[Prediction]:
        """Yield the `top` classes of each file, or its error, in the order of the files.

        Raises:
            PipelineError: the model gives logits that are no numbers.
        """
        waiting = iter(files)
        while chunk := list(islice(waiting, BATCH)):
            yield from self._predict_batch(chunk, top)

    def _predict_batch(self, files: list[str], top: int) -> Iterator[Prediction]:
        images: list[np.ndarray] = []
        errors: dict[str, str] = {}
        for file in files:
            try:
                images.append(self._open(file))
            except ImageError as error:
                errors[file] = str(error)
            except OSError as error:
                errors[file] = f"{file}: {error.strerror}"
        ranked = iter(self._rank(images, top))
        for file in files:
            yield (
                Prediction(file, error=errors[file])
                if file in errors
                else Prediction(file, *next(ranked))
            )

    def _open(self, file: str) -> np.ndarray:
        if Path(file).is_dir():
            raise ImageError(f"no images in {file}: {count_others(Path(file))}")
        content, spec = Path(file).read_bytes(), self.spec
        return decode_image(content, file, spec.image_px, self.bits, spec.fit)

    def _rank(
        self, images: list[np.ndarray], top: int
    ) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
        if not images:
            return []
        with inferring(self.device, self.spec):
            batch = torch.from_numpy(np.stack(images)).to(self.device)
            logits = self.classify(batch).double().cpu().numpy()
        check_finite(logits, str(self.path))
        probabilities = softmax(logits / self.calibration.temperature, axis=1)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        return [
            (tuple(self.spec.classes[i] for i in best), tuple(map(float, row[best])))
            for best, row in zip(order, probabilities, strict=True)
        ]


def find_model(name: str) -> Path:
    """Return the file of a trained model.

    Args:
        name: of a recipe, or the path of a .safetensors file.

    Raises:
        PipelineError: there is none; names those that there are.
    """
    path = Path(name) if name.endswith(".safetensors") else MODELS_DIR / name / "best.safetensors"
    if path.is_file():
        return path
    trained = ", ".join(
        sorted(found.parent.name for found in MODELS_DIR.glob("*/best.safetensors"))
    )
    raise PipelineError(f"no model is at {path}; trained here: {trained or 'none, see dvc repro'}")


def list_files(arguments: Iterable[str]) -> list[str]:
    """Return the files that arguments name: files, folders with all images in them, or globs.

    A folder without images, or a glob that fits nothing, is returned as it is.
    """
    found: list[str] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            images = (str(file) for file in path.rglob("*") if file.suffix.lower() in FORMATS)
            found += sorted(images) or [argument]
        elif path.exists():
            found.append(argument)
        else:
            matches = glob(argument, recursive=True)  # noqa: PTH207 - takes absolute ones too
            found += sorted(matches) or [argument]
    return list(dict.fromkeys(found))


def count_others(folder: Path) -> str:
    """Say how many files are in a folder that has no images, and their suffixes, frequent first."""
    counts = count_suffixes(str(file) for file in folder.rglob("*") if file.is_file())
    if not (n_files := sum(counts.values())):
        return "there are no files in it"
    kinds = sorted(counts, key=lambda kind: -counts[kind])
    names = ["no suffix" if kind == NO_SUFFIX else kind for kind in kinds[:MAX_SUFFIXES]]
    shown = ", ".join(names + ["..."] * (len(kinds) > len(names)))
    return f"{n_files:,} other file{'s' * (n_files > 1)} ({shown})"
