"""A map of images: what a network makes of them, on a plane where neighbours stay neighbours."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from vision.data.dataset import ImageSet
from vision.models.batches import iterate_batches, to_input
from vision.models.inference import inferring
from vision.models.networks import ModelSpec, find_last_layers

BATCH_SIZE = 100
PERPLEXITY = 30.0  # about how many neighbours of each image are kept near it
FEWEST = 10  # images that have neighbours to speak of


def compute_features(model: nn.Module, spec: ModelSpec, data: ImageSet) -> np.ndarray:
    """Return what the last layer is given for each image, by one view: (n, features) float32.

    Maps of a last layer that is a convolution are averaged over their places. Of an average, the
    features of each network stand side by side, brought to one length.
    """
    heads = [model.get_submodule(name) for name in find_last_layers(model, spec)]
    found: dict[nn.Module, list[np.ndarray]] = {head: [] for head in heads}

    def keep(head: nn.Module, args: tuple[Tensor, ...]) -> None:
        features = args[0].float()
        found[head].append((features.mean((2, 3)) if features.ndim == 4 else features).numpy())

    hooks = [head.register_forward_pre_hook(keep) for head in heads]
    device = torch.device("cpu")
    with inferring(device, spec):
        for batch in iterate_batches(data, torch.arange(len(data)), BATCH_SIZE, device):
            model.eval()(to_input(batch.images, spec))
    for hook in hooks:
        hook.remove()
    parts = [np.concatenate(batches) for batches in found.values()]
    return parts[0] if len(parts) == 1 else np.concatenate(list(map(_scale, parts)), 1)


def _scale(features: np.ndarray) -> np.ndarray:
    """Bring features, (n, features), to a mean square length of 1 over the images."""
    length = np.sqrt((features**2).sum(1).mean())
    scaled: np.ndarray = features / max(length, 1e-9)
    return scaled


def lay_out(features: np.ndarray) -> np.ndarray:
    """Return a place for each image: (n, 2) float32 in 0..1.

    By t-SNE, van der Maaten and Hinton (2008); too few images for it by their first two principal
    components. On one thread: sums over several would differ from run to run.
    """
    n, width = features.shape
    if not np.ptp(features, axis=0).any():
        return np.full((n, 2), 0.5, np.float32)
    if n < FEWEST:
        flat = PCA(min(2, n, width)).fit_transform(features)
        places = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    else:
        with threadpool_limits(1):
            perplexity = min(PERPLEXITY, (n - 1) / 3)
            places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features)
    low, high = places.min(0), places.max(0)
    scaled: np.ndarray = (places - low) / np.maximum(high - low, 1e-9)
    return scaled.astype(np.float32)
