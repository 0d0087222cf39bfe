"""A network as a program that runs without lrexplore: PyTorch's .pt2, or ONNX."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lrexplore.disk.paths import output_path
from lrexplore.disk.whole_file import write_whole
from lrexplore.network.batches import as_example, batch_size, device_of, example_inputs, to_device
from lrexplore.network.private import private_copy, why, without_wrapper

_MOST_ONNX_MB = 2000


class _TooLarge(ValueError):
    pass


def export(model: nn.Module, path: str | Path, example_input) -> None:
    """Writes the network as a program that runs without lrexplore: `.pt2` (torch.export) or `.onnx`.

    `example_input` is a batch, the forward's arguments as a tuple or a dict, or an item of a loader; the program takes
    the same arguments. A private copy is exported, in evaluation mode. The batch size stays free; a language model
    answers without its cache. ONNX needs the packages onnx and onnxscript. Raises ValueError for another suffix and for
    a model that torch cannot export, FileNotFoundError where the folder is missing, ModuleNotFoundError where a package
    is, OSError where the disk is full.

    >>> import lrexplore as lr, tempfile, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    >>> path = f"{tempfile.mkdtemp()}/small.pt2"
    >>> lr.export(lr.factorize(model, rank_scale=0.25), path, torch.zeros(2, 8))
    >>> torch.export.load(path).module()(torch.zeros(5, 8)).shape
    torch.Size([5, 4])
    """
    path = export_path(path)
    inputs = to_device(example_inputs(example_input, model), device_of(model))
    size = batch_size(inputs)
    if size < 2:  # a batch of one would be taken as fixed
        inputs = _changed(inputs, lambda x: torch.cat([x, x]) if len(x) == size else x, otherwise=lambda x: x)
        size = 2
    batch, arguments = torch.export.Dim("batch"), as_example(inputs)
    shapes = _changed(arguments, lambda x: {0: batch} if len(x) == size else None, otherwise=lambda x: None)
    args, options = ((), arguments) if isinstance(arguments, Mapping) else (arguments, {})
    model = without_wrapper(private_copy(model))
    for module in model.modules():
        if getattr(config := getattr(module, "config", None), "use_cache", None):
            config.use_cache = False  # of a language model: no part of an answer that a program can give
    with torch.enable_grad():
        write = _as_pt2 if path.suffix == ".pt2" else _as_onnx
        try:
            program = write(model, args, kwargs=options, dynamic_shapes=shapes)
        except (ModuleNotFoundError, MemoryError, _TooLarge):
            raise
        except Exception as error:  # torch's exporter raises what it likes, and so does the model's forward
            raise ValueError(
                f"`model` must be one that torch's exporter can follow, got a {type(model).__name__} that it cannot "
                f"({why(error)}). Where its forward reads values, export the part before that."
            ) from error
    write_whole(path, program)


def export_path(path: str | Path) -> Path:
    """The path of a program that `export` can write. Raises ValueError for another suffix."""
    path = output_path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"`path` must end in .pt2 or .onnx, got {path.name}. Choose one of them.")
    return path


def _changed(batch, change: Callable[[Tensor], object], *, otherwise: Callable[[object], object]):
    """The batch with every tensor that has an axis changed, and everything else in another way."""
    if isinstance(batch, Mapping):
        return {name: _changed(part, change, otherwise=otherwise) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(_changed(part, change, otherwise=otherwise) for part in batch)
    return change(batch) if isinstance(batch, Tensor) and batch.ndim else otherwise(batch)


def _as_pt2(model: nn.Module, args: tuple, **options) -> memoryview:
    buffer = io.BytesIO()  # given a path, torch's own writer ends the process on a full disk
    torch.export.save(torch.export.export(model, args, **options), buffer)
    return buffer.getbuffer()


def _as_onnx(model: nn.Module, args: tuple, **options) -> bytes:
    try:
        program = torch.onnx.export(model, args, dynamo=True, verbose=False, **options)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"ONNX needs a package that is not installed ({error}). Install it: pip install onnx onnxscript"
        ) from error
    size_mb = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()) / 1e6
    if size_mb > _MOST_ONNX_MB:
        raise _TooLarge(
            f"`path` must end in .pt2 for a network of more than {_MOST_ONNX_MB} MB, which an ONNX file does not hold, "
            f"got .onnx for one of {size_mb:.0f} MB. Export it as .pt2."
        )
    return program.model_proto.SerializeToString()
