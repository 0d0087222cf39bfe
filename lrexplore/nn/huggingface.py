"""Factorized networks of the library transformers: their config says what is factorized, and loading goes by that.

`save_pretrained` writes the config beside the weights, whose names are those of the network before but for `left` and
`right` in the place of a factorized `weight`. `from_pretrained` asks whoever is registered for the method that a config
names before it fills a network: there the layers become factorized ones.
"""

from typing import Any

import torch
from torch import nn

from lrexplore.nn.attention import heads_of
from lrexplore.nn.attention.standing import factorized_heads, standing_modules, tell_width
from lrexplore.nn.rebuilt import all_changed, rebuilt

METHOD = "lrexplore"


def note_in_config(model: nn.Module) -> None:
    """Writes into the config of a network of transformers what is factorized; of any other network does nothing."""
    config: Any = getattr(model, "config", None)
    if not any(kind.__name__ in ("PreTrainedConfig", "PretrainedConfig") for kind in type(config).__mro__):
        return
    layers = {
        name: {**layer.built(), "bias_added": bool(getattr(layer, "bias_added", False))}
        for name, layer in all_changed(model).items()
    }
    heads = factorized_heads(model)
    said = getattr(config, "quantization_config", None)
    if (layers or heads) and said is None or isinstance(said, dict) and said.get("quant_method") == METHOD:
        config.quantization_config = {"quant_method": METHOD, "layers": layers, "heads": heads}
        if not layers and not heads:
            del config.quantization_config
    if layers or heads:
        register_transformers()


def register_transformers() -> None:
    """From now on `from_pretrained` of transformers opens what `save_pretrained` wrote of a factorized network.

    In a process that has not factorized anything, call it once before `from_pretrained`; `lr.load(folder)` needs no
    such call. Raises ModuleNotFoundError without transformers.

    >>> lr.register_transformers()
    """
    try:
        from transformers.quantizers.auto import (
            AUTO_QUANTIZER_MAPPING,
            register_quantization_config,
            register_quantizer,
        )
        from transformers.quantizers.base import HfQuantizer
        from transformers.utils.quantization_config import QuantizationConfigMixin
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"`transformers` must be installed to open its networks, got none ({error}). pip install transformers"
        ) from error
    if METHOD in AUTO_QUANTIZER_MAPPING:
        return

    @register_quantization_config(METHOD)
    class FactorizedConfig(QuantizationConfigMixin):
        def __init__(self, layers: dict[str, dict], heads: dict[str, dict] | None = None, **others):
            vars(self).update(quant_method=METHOD, layers=layers, heads=heads or {})

    @register_quantizer(METHOD)
    class FactorizingLoader(HfQuantizer):
        def _process_model_before_weight_loading(self, model, **options):
            _replace_layers(model, vars(self.quantization_config)["layers"])
            _replace_heads(model, vars(self.quantization_config)["heads"])

        def _process_model_after_weight_loading(self, model, **options):
            # It is no quantized network: it trains and moves between devices as any other.
            said = vars(self.quantization_config)
            note = {"quant_method": METHOD, "layers": said["layers"], "heads": said["heads"]}
            self.remove_quantization_config(model)
            for module in model.modules():
                if hasattr(module, "config") and hasattr(module.config, "_is_quantized"):
                    module.config._is_quantized = False
            model.config.quantization_config = note
            return model

        def is_serializable(self):
            return True

        @property
        def is_trainable(self):
            return True


def _replace_layers(model: nn.Module, layers: dict[str, dict]) -> None:
    """Puts factorized layers into a network without values, by the names they had when it was saved."""
    modules = dict(model.named_modules())
    for name, options in layers.items():
        here = _name_here(model, name)
        if here is None:
            continue
        new = rebuilt(modules[here], options)
        if options["bias_added"]:
            weight: Any = modules[here].weight
            new.bias = nn.Parameter(torch.empty(len(weight), device="meta", dtype=weight.dtype))
            new.bias_added = True  # type: ignore[assignment]
        parent, _, last = here.rpartition(".")
        setattr(model.get_submodule(parent), last, new)


def _replace_heads(model: nn.Module, heads: dict[str, dict]) -> None:
    """Puts projections of smaller heads into a network without values."""
    for name, options in heads.items():
        here = _name_here(model, name)
        attention = None if here is None else heads_of(model.get_submodule(here))
        if here is None or attention is None:
            continue
        new = standing_modules(
            attention, options["qk"], options["ov"], output_bias=options["output_bias"], device="meta"
        )
        for parent in list(model.modules()):
            parent._modules.update({key: new[id(child)] for key, child in parent._modules.items() if id(child) in new})
        tell_width(model.get_submodule(here))


def _name_here(model: nn.Module, name: str) -> str | None:
    """The name that a module of a saved network has in this one, None where it has none.

    The network in it may be opened without its head, or one with a head be made of it.
    """
    prefix, modules = f"{getattr(model, 'base_model_prefix', '')}.", dict(model.named_modules())
    return next(
        (spelling for spelling in (name, name.removeprefix(prefix), prefix + name) if spelling in modules), None
    )
