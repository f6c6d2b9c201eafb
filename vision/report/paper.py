"""What the paper claims, to be set beside what is measured.

'Enhancing CIFAR-10 Image Classification using Transfer Learning with ResNet18', a student report.
All figures are fractions, of CIFAR-10 at 32 px.
"""

from dataclasses import dataclass
from typing import Literal

SOURCE = "cifar10"  # the only images that its figures can be compared on
RECIPE = "paper"  # the fine-tuning that follows it to the letter
HAND_MADE = ("two-layer-fc", "three-layer-cnn")  # architectures of its networks without transfer
HAND_MADE_GAIN = 0.09  # of ResNet18 over the hand-made networks, as its text puts it


@dataclass(frozen=True)
class Claim:
    model: str  # the recipe that repeats it
    subset: Literal["train", "val", "test"]
    accuracy: float
    where: str


@dataclass(frozen=True)
class Scores:
    precision: float
    recall: float
    f1: float
    support: int


# For the two-layer net alone the paper gives no figure.
CLAIMS = (
    Claim("three-layer-cnn", "val", 0.73, "text, better of two, about"),
    Claim(RECIPE, "train", 0.97, "Figure 1, epoch 10, about"),
    Claim(RECIPE, "val", 0.83, "Figure 1, epoch 10, almost"),
    Claim(RECIPE, "test", 0.82, "Figure 4"),
)

FIGURE_4 = {  # the classification report of ResNet18 on the test images
    "airplane": Scores(0.86, 0.84, 0.85, 1000),
    "automobile": Scores(0.89, 0.90, 0.89, 1000),
    "bird": Scores(0.81, 0.73, 0.77, 1000),
    "cat": Scores(0.65, 0.69, 0.67, 1000),
    "deer": Scores(0.78, 0.81, 0.79, 1000),
    "dog": Scores(0.72, 0.71, 0.72, 1000),
    "frog": Scores(0.88, 0.87, 0.87, 1000),
    "horse": Scores(0.85, 0.86, 0.85, 1000),
    "ship": Scores(0.88, 0.91, 0.89, 1000),
    "truck": Scores(0.88, 0.86, 0.87, 1000),
}
FIGURE_4_MACRO = Scores(0.82, 0.82, 0.82, 10_000)
FIGURE_4_WEIGHTED = Scores(0.82, 0.82, 0.82, 10_000)


def find_claim(model: str, subset: str) -> float | None:
    """Return what the paper claims of a recipe on a subset, or None."""
    return next((c.accuracy for c in CLAIMS if (c.model, c.subset) == (model, subset)), None)
