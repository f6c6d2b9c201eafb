"""What one would otherwise write: torchvision transforms in a DataLoader, fp32, SGD or Adam."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet18

from vision.data.dataset import ImageSet
from vision.models.pretrained import IMAGENET_CHANNELS
from vision.models.whitened import WhitenedCNN
from vision.schema.baselines import WIDTHS

LEARNING_RATE = 1e-4


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images of a subset as PIL pictures, transformed one by one."""

    def __init__(
        self, data: ImageSet, input_px: int, augmentation: Sequence[nn.Module] = ()
    ) -> None:
        mean, std = IMAGENET_CHANNELS
        resize = [transforms.Resize(input_px)] * (input_px != data.image_px)
        self.data = data
        self.transform = transforms.Compose(
            [*augmentation, *resize, transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        row = self.data.indices[position]
        return self.transform(Image.fromarray(self.data.images[row])), int(self.data.labels[row])


class PlainProgram:
    """A notebook's training and evaluation loop: ResNet18 by Adam, as the paper has it."""

    label_smoothing = 0.0

    def __init__(self, data: ImageSet, input_px: int, batch_size: int, workers: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.image_px = data.image_px
        self.model = self.build_model(data, input_px).to(self.device)
        self.optimizer = self.build_optimizer()
        self.criterion = nn.CrossEntropyLoss(label_smoothing=self.label_smoothing)
        self.pictures = Pictures(data, input_px)
        augmented = Pictures(data, input_px, self.list_augmentation())
        self.train_loader = DataLoader(augmented, batch_size, shuffle=True, num_workers=workers)
        self.test_loader = DataLoader(self.pictures, batch_size, num_workers=workers)

    def build_model(self, data: ImageSet, input_px: int) -> nn.Module:
        model: nn.Module = resnet18(num_classes=len(data.classes))
        return model

    def build_optimizer(self) -> Optimizer:
        return Adam(self.model.parameters(), lr=LEARNING_RATE)

    def list_augmentation(self) -> list[nn.Module]:
        return []

    def train_epoch(self) -> None:
        self.model.train()
        for images, labels in self.train_loader:
            images, labels = images.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(images), labels)
            loss.backward()
            self.optimizer.step()
            loss.item()

    def evaluate(self) -> float:
        """Return the accuracy."""
        self.model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in self.test_loader:
                predicted = self.model(images.to(self.device)).argmax(1).cpu()
                right += (predicted == labels).sum().item()
        return right / len(self.pictures)


class PlainWhitened(PlainProgram):
    """The same loop for the network, crops and flips of `whitened-cnn`: SGD has Muon's place.

    torch.optim.Muon takes no filters. Its first layer does not whiten, which changes no second.
    """

    label_smoothing = 0.2

    def build_model(self, data: ImageSet, input_px: int) -> nn.Module:
        return WhitenedCNN(len(data.classes), input_px, WIDTHS)

    def build_optimizer(self) -> Optimizer:
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        return SGD(weights, lr=0.1, momentum=0.85, nesterov=True)

    def list_augmentation(self) -> list[nn.Module]:
        crop = transforms.RandomCrop(self.image_px, padding=2, padding_mode="reflect")
        return [crop, transforms.RandomHorizontalFlip()]
