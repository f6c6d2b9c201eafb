"""What one would otherwise write: torchvision transforms in a DataLoader, fp32, Adam."""

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet18

from vision.data.dataset import ImageSet
from vision.models.pretrained import IMAGENET_CHANNELS

LEARNING_RATE = 1e-4


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images of a subset as PIL pictures, transformed one by one."""

    def __init__(self, data: ImageSet, input_px: int) -> None:
        mean, std = IMAGENET_CHANNELS
        resize = [transforms.Resize(input_px)] * (input_px != data.image_px)
        self.data = data
        self.transform = transforms.Compose(
            [*resize, transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        row = self.data.indices[position]
        return self.transform(Image.fromarray(self.data.images[row])), int(self.data.labels[row])


class PlainProgram:
    """A notebook's training and evaluation loop."""

    def __init__(self, data: ImageSet, input_px: int, batch_size: int, workers: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = resnet18(num_classes=len(data.classes)).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.criterion = nn.CrossEntropyLoss()
        self.pictures = pictures = Pictures(data, input_px)
        self.train_loader = DataLoader(pictures, batch_size, shuffle=True, num_workers=workers)
        self.test_loader = DataLoader(pictures, batch_size, num_workers=workers)

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
