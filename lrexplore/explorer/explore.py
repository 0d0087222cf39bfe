"""What a notebook calls."""

from lrexplore.explorer.app import Explorer


def explore(
    model, *, weights=None, rank_scale: float = 0.25, device=None, loader=None, calibration=None
) -> Explorer:
    """The explorer of a network: leave it last in a notebook cell to see it.

    `model` is a torchvision name, a checkpoint path or an nn.Module, `weights` as `lr.load_model` takes them.
    Every layer starts at `rank_scale`, in (0, 1]. `device` is where the mathematics runs; None leaves the model where
    it is. `loader`, any iterable of inputs or (input, label) pairs, has the inputs that "yours" stands for, which the
    Network tab calibrates on and judges by too; without it that is crops of scikit-learn's photographs. A `calibration`
    of `lr.calibrate` saves the Layer tab the pass over them.

    Raises ValueError for an unknown name, a model without factorizable layers, weights that are not finite and a
    calibration of another network.
    """
    return Explorer(
        model, weights=weights, rank_scale=rank_scale, device=device, loader=loader, calibration=calibration
    )
