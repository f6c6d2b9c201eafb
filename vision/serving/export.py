"""Write a trained model as ONNX, from stored images to calibrated probabilities, and prove it."""

from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision.base.errors import PipelineError
from vision.base.files import replacing, sha256_of, write_json, write_text
from vision.data.images import LETTERBOX
from vision.data.shards import CROP
from vision.models.inference import Classifier
from vision.models.networks import ModelSpec, change_spec, list_members, load_model
from vision.serving.calibration import Found, find_temperature

OPSET = 20
TOLERANCE = 1e-3  # between outputs of PyTorch and ONNX Runtime, in fp32
CHECKED = 16  # random images
SUFFIX = ".onnx"
OUTSIDE = (
    "decode to 8 bits, turn upright as EXIF says, composite transparency on white, resize the "
)
SQUARES = {  # what then makes a square, in words and by Pillow
    CROP: (
        "shorter side to image_px (bicubic, antialiased) and crop the centre",
        "fit(photo, (px, px), Image.Resampling.BICUBIC)",
    ),
    LETTERBOX: (
        "longer side to image_px (bicubic, antialiased) and fill the rest with black bars",
        'pad(photo, (px, px), Image.Resampling.BICUBIC, color="black")',
    ),
}
EXAMPLE = Template('''"""Classify photos with onnxruntime and Pillow: python $name PHOTO..."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = Path(__file__).with_name($model)
facts = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
session, px = onnxruntime.InferenceSession(str(model)), facts["image_px"]
for file in sys.argv[1:]:
    photo = Image.open(file)
    photo.draft(None, (2 * px, 2 * px))  # a JPEG is decoded no larger than it need be
    photo = ImageOps.exif_transpose(photo).convert("RGBA")
    photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo).convert("RGB")
    pixels = np.asarray(ImageOps.$make)
    shares = session.run(["probabilities"], {"images": pixels[None]})[0][0]
    print(file, facts["classes"][shares.argmax()], f"{shares.max():.4f}", sep="\\t")
''')


class Exported(nn.Module):
    """What the graph computes: probabilities at a temperature, and the logits behind them."""

    def __init__(self, classify: Classifier, temperature: float) -> None:
        super().__init__()
        self.classify, self.temperature = classify, temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.classify(images)
        return torch.softmax(logits / self.temperature, dim=1), logits


def export_onnx(source: Path, target: Path) -> dict[str, Any]:
    """Write `target` and, beside it, what it is and how well it agrees, and a script that uses it.

    The graph takes images, (B, P, P, 3) uint8 with any B, and gives probabilities, calibrated
    where the model was evaluated, and logits, both (B, classes) float32. It computes in fp32,
    whatever the recipe's precision: few runtimes have bf16 on a CPU.

    Returns:
        What is written to the .json file beside it.

    Raises:
        PipelineError: a package is missing, `target` is not called .onnx, or the two disagree.
    """
    if target.suffix != SUFFIX:
        raise PipelineError(f"{target} cannot be written: give it the suffix {SUFFIX}")
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise PipelineError(f"{error}: pip install onnx onnxruntime onnxscript") from None
    model, spec = load_model(source)
    classify = Classifier(model, change_spec(spec, precision="fp32")).eval()
    found = find_temperature(source)
    exported = Exported(classify, found.temperature).eval()
    images = np.random.default_rng(0).integers(
        0, 256, (CHECKED, spec.image_px, spec.image_px, 3), dtype=np.uint8
    )
    with replacing(target) as temporary:
        torch.onnx.export(
            exported,
            (torch.from_numpy(images[:2]),),
            temporary,
            input_names=["images"],
            output_names=["probabilities", "logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        difference = _measure_difference(temporary, exported, images)
        if difference > TOLERANCE:
            raise PipelineError(
                f"ONNX Runtime and PyTorch disagree by {difference:.2g}, over {TOLERANCE:g}"
            )
    facts = describe_graph(spec, found) | {
        "largest_difference": difference,
        "checked_images": CHECKED,
        "model": source.name,
        "model_sha256": sha256_of(source),
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "opset": OPSET,
        "precision": "fp32",
        "sha256": sha256_of(target),
        "torch": torch.__version__,
    }
    write_json(target.with_suffix(".json"), facts)
    script = target.with_suffix(".example.py")
    make = SQUARES[spec.fit][1]
    write_text(script, EXAMPLE.substitute(name=script.name, model=repr(target.name), make=make))
    return facts


def describe_graph(spec: ModelSpec, found: Found) -> dict[str, Any]:
    """Return what another program has to know of the graph."""
    return {
        "classes": list(spec.classes),
        "image_px": spec.image_px,
        "input": {"images": f"(batch, {spec.image_px}, {spec.image_px}, 3) uint8, RGB"},
        "outputs": {
            "probabilities": f"(batch, {len(spec.classes)}) float32: softmax(logits / temperature)",
            "logits": f"(batch, {len(spec.classes)}) float32, the mean over the views",
        },
        "preparation": {
            "before_the_graph": OUTSIDE + SQUARES[spec.fit][0],
            "in_the_graph": _gather(spec, _describe_feed),
        },
        "views": _gather(spec, _describe_views),
        "softmax": True,
        "temperature": found.temperature,
        "calibrated": found.is_calibrated,
        "calibration": found.words,
    }


def _gather(spec: ModelSpec, describe: Callable[[ModelSpec], dict[str, Any]]) -> dict[str, Any]:
    """Return what is to be said of a network, or of each of those that an average is of."""
    members = [_gather(each, describe) for each in list_members(spec)]
    if not members:
        return describe(spec)
    return {"mean_of": members, "shares": spec.options["shares"]}


def _describe_feed(spec: ModelSpec) -> dict[str, Any]:
    return {
        "scale": "(value / 255 - mean) / std",
        "mean": list(spec.mean),
        "std": list(spec.std),
        "resized_to_px": spec.input_px,
    }


def _describe_views(spec: ModelSpec) -> dict[str, Any]:
    below = {"below": spec.test_views_below} if spec.test_views_below else {}
    return {
        "count": (3 if spec.test_shift_px else 1) * (2 if spec.test_flip else 1),
        "flip": spec.test_flip,
        "shift_px": spec.test_shift_px,
        **below,
    }


def _measure_difference(path: Path, exported: Exported, images: np.ndarray) -> float:
    """Return the largest difference of an output, for one image alone and for all at once."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = [output.numpy() for output in exported(torch.from_numpy(images))]
    names = ["probabilities", "logits"]
    whole, single = (session.run(names, {"images": each}) for each in (images, images[:1]))
    return float(
        max(
            max(np.abs(a - e).max(), np.abs(b - e[:1]).max())
            for a, b, e in zip(whole, single, expected, strict=True)
        )
    )
