"""Write a trained model as ONNX, preparation of the images included, and prove that it agrees."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision.base.errors import PipelineError
from vision.base.files import replacing, sha256_of, write_json
from vision.models.inference import Classifier
from vision.models.networks import load_model

OPSET = 20
TOLERANCE = 1e-3  # between logits of PyTorch and ONNX Runtime, in fp32
CHECKED = 16  # random images


def export_onnx(source: Path, target: Path) -> dict[str, Any]:
    """Write `target` and, beside it, what it was made of and how well it agrees.

    The graph takes images, (B, P, P, 3) uint8 with any B, and gives logits, (B, classes) float32.
    It computes in fp32, whatever the recipe's precision: few runtimes have bf16 on a CPU.

    Returns:
        What is written to the .json file beside it.

    Raises:
        PipelineError: a package is missing, or the two disagree.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise PipelineError(f"{error}: pip install onnx onnxruntime onnxscript") from None
    model, spec = load_model(source)
    classify = Classifier(model, replace(spec, precision="fp32")).eval()
    images = np.random.default_rng(0).integers(
        0, 256, (CHECKED, spec.image_px, spec.image_px, 3), dtype=np.uint8
    )
    with replacing(target) as temporary:
        torch.onnx.export(
            classify,
            (torch.from_numpy(images[:2]),),
            temporary,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        difference = _measure_difference(temporary, classify, images)
        if difference > TOLERANCE:
            raise PipelineError(
                f"ONNX Runtime and PyTorch disagree by {difference:.2g}, over {TOLERANCE:g}"
            )
    facts = {
        "classes": list(spec.classes),
        "image_px": spec.image_px,
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
    return facts


def _measure_difference(path: Path, classify: Classifier, images: np.ndarray) -> float:
    """Return the largest difference of a logit, for one image alone and for all at once."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = classify(torch.from_numpy(images)).numpy()
    whole = session.run(["logits"], {"images": images})[0]
    single = session.run(["logits"], {"images": images[:1]})[0]
    return float(max(np.abs(whole - expected).max(), np.abs(single - expected[:1]).max()))
