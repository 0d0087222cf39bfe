"""Odd tensors, odd values and small networks, each drawn from a generator of random numbers."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import lrexplore as lr
from lrexplore.dual import ACTIVATIONS

_DTYPES = (torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16)
_SCALES = (1.0, 1.0, 1.0, 1e-45, 1e-38, 1e-20, 1e-3, 30.0, 1e3, 1e20, 1e38)


def seeded(draw: random.Random) -> torch.Generator:
    """A generator for torch."""
    return torch.Generator().manual_seed(draw.randrange(2**31))


def weight(draw: random.Random, *, kernels: bool = True) -> Tensor:
    """A weight that should be taken, however extreme: of any float type, scale, shape, rank and memory layout."""
    shape: tuple[int, ...] = (draw.choice((1, 2, 3, 7, 12)), draw.choice((1, 2, 3, 8, 20)))
    if kernels and draw.random() < 0.3:
        shape = (shape[0], draw.choice((1, 2, 4)), draw.choice((1, 3)), draw.choice((1, 3, 5)))
    made = torch.randn(shape, generator=seeded(draw), dtype=torch.float64)
    kind = draw.randrange(12)
    if kind == 0:
        made = torch.zeros_like(made)
    elif kind == 1:
        made = torch.ones_like(made)
    elif kind == 2:
        made[draw.randrange(shape[0])] = 0
    elif kind == 3:
        made[:] = made[:1]
    elif kind == 4:
        made.view(-1)[draw.randrange(made.numel())] *= 1e6
    elif kind == 5:
        made = made.round()
    dtype = draw.choice(_DTYPES)
    made = (made * draw.choice(_SCALES)).to(dtype)
    if not torch.isfinite(made).all():
        made = made.nan_to_num(0.0, 1.0, -1.0)
    layout = draw.randrange(6)
    if layout == 0:
        made = torch.stack([made, made], -1)[..., 0]
    elif layout == 1 and made.ndim == 4:
        made = made.contiguous(memory_format=torch.channels_last)
    elif layout == 2:
        made = nn.Parameter(made)
    elif layout == 3:
        made = made[:1].expand(shape)
    return made


def odd_tensor(draw: random.Random) -> Any:
    """A tensor that most functions must refuse."""
    some = torch.randn(4, 6, generator=seeded(draw))
    makers: list[Callable[[], Any]] = [
        lambda: torch.empty(0, 4), lambda: torch.empty(4, 0), lambda: torch.tensor(1.0), lambda: torch.ones(3),
        lambda: torch.ones(2, 3, 4), lambda: torch.ones(2, 2, 3, 3, 3), lambda: some.int(), lambda: some > 0,
        lambda: some.to(torch.complex64), lambda: some.to("meta"), lambda: some.to_sparse(),
        lambda: some.to_sparse_csr(), lambda: some.to(torch.float8_e4m3fn), lambda: some.to(torch.uint8),
        lambda: torch.quantize_per_tensor(some, 0.1, 0, torch.qint8), lambda: some / 0, lambda: some * float("inf"),
        lambda: torch.nested.nested_tensor([some[0], some[1, :2]]), lambda: some.double() * 1e150,
        lambda: some.double() * 1e-200, lambda: some.to_mkldnn(), lambda: some.to(torch.complex64).conj(),
        lambda: some.to(torch.uint16), lambda: torch._neg_view(some), lambda: some.where(some > 0, float("nan")),
        lambda: nn.parameter.UninitializedParameter(), lambda: some.to(torch.float8_e5m2),
        lambda: torch.full((4, 6), 1e38), lambda: torch.full((4, 6), 1e-45), lambda: some.numpy(),
    ]  # fmt: skip
    return draw.choice(makers)()


def odd(draw: random.Random) -> Any:
    """Anything at all."""
    makers: list[Callable[[], Any]] = [
        lambda: None, lambda: "x", lambda: "", lambda: b"x", lambda: 3, lambda: 0, lambda: -1, lambda: 2.5,
        lambda: True, lambda: float("nan"), lambda: float("inf"), lambda: 10**30, lambda: 1e300, lambda: [],
        lambda: [1], lambda: ["x"], lambda: {}, lambda: {"x": 1}, lambda: {1: None}, lambda: (), lambda: (1, 2),
        lambda: object(), lambda: object, lambda: len, lambda: (lambda *_, **__: None), lambda: np.float32(0.5),
        lambda: np.int64(2), lambda: np.ones(3), lambda: torch.ones(2), lambda: torch.tensor(2), lambda: Path("x"),
        lambda: "\0", lambda: "a" * 5000, lambda: "a\nb", lambda: "`x`", lambda: complex(1, 2), lambda: {"a", "b"},
        lambda: iter([]), lambda: range(3), lambda: nn.Linear(2, 2), lambda: torch.float32, lambda: slice(1),
        lambda: "../x", lambda: ".", lambda: "/", lambda: "pipe:true", lambda: "no_module:none", lambda: "\ud800",
    ]  # fmt: skip
    return odd_tensor(draw) if draw.random() < 0.2 else draw.choice(makers)()


def activation(draw: random.Random) -> str:
    """The name of an activation."""
    few = ("relu", "relu", "identity", "relu6", "hardswish", "silu", "gelu", "tanh", "leaky_relu(0.2)")
    names = list(ACTIVATIONS)
    return draw.choice(few) if draw.random() < 0.85 else draw.choice(names)


def batch_norm(draw: random.Random, neurons: int) -> Any:
    """A batch norm of so many neurons, or none."""
    if draw.random() < 0.5:
        return None
    generator = seeded(draw)
    gamma, beta = (torch.randn(neurons, generator=generator) for _ in range(2))
    kind = draw.randrange(6)
    if kind == 0:
        gamma = torch.zeros(neurons)
    elif kind == 1:
        gamma[draw.randrange(neurons)] = 0
    elif kind == 2:
        gamma, beta = gamma * draw.choice((1e-45, 1e-20, 100.0)), beta * draw.choice((0, 1e-30, 10.0))
    return lr.BatchNorm(gamma.to(draw.choice((torch.float32, torch.float64))), beta)


def factors(draw: random.Random, of: Tensor, scheme: str) -> lr.Factors:
    """Factors for a weight: its own, others, zeros, or with NaN."""
    from lrexplore.linalg import matrix_shape

    m, n = matrix_shape(of.shape, scheme)
    rank = draw.randint(1, min(m, n))
    kind = draw.randrange(8)
    if kind < 4:
        return lr.initialize(of.detach(), rank, initializer=draw.choice(("spectral", "function")), scheme=scheme)
    generator = seeded(draw)
    left, right = torch.randn(m, rank, generator=generator), torch.randn(rank, n, generator=generator)
    if kind == 4:
        left = torch.zeros_like(left)
    elif kind == 5:
        left, right = left * 1e-30, right * 1e-15
    elif kind == 6:
        right = right / 0
    return lr.Factors(left.to(of.dtype) if draw.random() < 0.5 else left, right)


class _Refuses(nn.Module):
    """A network whose forward raises."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no")


class _Twice(nn.Module):
    """One layer at two places, and a branch on values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.first(x)) if x.sum() > -1e9 else x


def model(draw: random.Random) -> nn.Module:
    """A small network that takes (b, 8), most of them ordinary."""
    torch.manual_seed(draw.randrange(2**31))
    plain = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))
    makers: list[Callable[[], nn.Module]] = [
        lambda: plain, lambda: plain, lambda: plain, lambda: plain.eval(), lambda: plain.double(),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)),
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(32, 4)
        ),
        lambda: nn.Sequential(), lambda: nn.Linear(8, 8), _Refuses, _Twice, lambda: nn.LazyLinear(4),
        lambda: plain.half(), lambda: plain.to("meta"), lambda: nn.Sequential(nn.Linear(8, 4, dtype=torch.complex64)),
        lambda: nn.Sequential(nn.Flatten(), nn.ReLU()), lambda: _with_value(plain, float("nan")),
        lambda: _with_value(plain, 0.0), lambda: _with_value(plain, 1e38),
        lambda: nn.Sequential(nn.Linear(8, 1), nn.Linear(1, 8)), lambda: nn.LSTM(8, 4),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda: nn.Bilinear(8, 8, 4),
        lambda: torch.nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16, affine=False, track_running_stats=False)),
    ]  # fmt: skip
    return draw.choice(makers)()


def _with_value(net: nn.Module, value: float) -> nn.Module:
    with torch.no_grad():
        next(net.parameters()).view(-1)[0 if value else slice(None)] = value
    return net


def loader(draw: random.Random) -> Any:
    """Batches for such a network, most of them right."""
    x = torch.randn(6, 8, generator=seeded(draw))
    makers: list[Callable[[], Any]] = [
        lambda: [x, x + 1], lambda: [x, x + 1], lambda: [(x, torch.zeros(6, dtype=torch.long))], lambda: [x.double()],
        lambda: [], lambda: [x[:0]], lambda: [x / 0], lambda: [torch.ones(6, 9)], lambda: [{"input": x}],
        lambda: ["x"], lambda: [None], lambda: iter([x]), lambda: [x.long()], lambda: [x[:1]], lambda: [[x, x]],
        lambda: [x * 1e30], lambda: [x * 0], lambda: x,
    ]  # fmt: skip
    return draw.choice(makers)()
