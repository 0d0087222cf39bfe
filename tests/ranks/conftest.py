import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LREXPLORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model():
    """A small trained-looking network: decaying spectra, batch norm, a classifier."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 40), nn.ReLU(), nn.Linear(40, 10),
    ).eval()  # fmt: skip
    for module in net:
        if isinstance(module, nn.Conv2d | nn.Linear):
            flat = module.weight.data.flatten(1)
            u, s, vh = torch.linalg.svd(flat, full_matrices=False)
            decay = torch.logspace(0, -2, len(s))
            module.weight.data = ((u * s * decay) @ vh * 4).view_as(module.weight)
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    return net


@pytest.fixture
def images():
    """Batches with correlated pixels."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(24, 3, 4, 4, generator=generator)
    return list(nn.functional.interpolate(coarse, size=12, mode="bilinear").split(8))


class TwoInputs(nn.Module):
    """A network whose forward takes two arguments, one of them token numbers."""

    def __init__(self):
        super().__init__()
        self.embedding, self.image = nn.Embedding(11, 32), nn.Linear(20, 32)
        self.norm, self.head = nn.BatchNorm1d(32), nn.Linear(32, 10)

    def forward(self, tokens, pixels):
        return self.head(torch.relu(self.norm(self.image(pixels)) + self.embedding(tokens).mean(1)))


@pytest.fixture
def two_inputs():
    torch.manual_seed(0)
    return TwoInputs().eval()


@pytest.fixture
def named_inputs():
    """Batches for `two_inputs`, its arguments by name."""
    generator = torch.Generator().manual_seed(2)
    return [
        {
            "tokens": torch.randint(0, 11, (8, 4), generator=generator),
            "pixels": torch.randn(8, 20, generator=generator),
        }
        for _ in range(4)
    ]
