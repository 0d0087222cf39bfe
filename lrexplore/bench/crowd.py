"""Networks of others by name, with random weights: how each is made, what it is run on, and what is published of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

# Billion multiply-adds as timm's benchmark of image models lists them (results/benchmark-infer-*.csv, two digits), at
# this image size; None where it lists none, or those of the network as it is merged for use.
TIMM: dict[str, tuple[float | None, int]] = {
    **{name: (gmacs, 224) for name, gmacs in {
        "convnext_atto": 0.55, "deit_tiny_distilled_patch16_224": 1.27, "dla46_c": 0.58, "efficientnet_b0": 0.4,
        "efficientvit_b0": 0.1, "efficientvit_m2": 0.2, "ese_vovnet19b_slim_dw": 0.4, "fasternet_t0": 0.34,
        "fbnetc_100": 0.4, "fbnetv3_b": 0.42, "gernet_s": 0.75, "ghostnet_100": 0.15, "ghostnetv2_100": 0.18,
        "hardcorenas_a": 0.23, "hgnetv2_b0": 0.33, "hrnet_w18_small": 1.61, "inception_next_atto": 0.5,
        "lcnet_100": 0.16, "legacy_seresnet18": 1.82, "levit_128s": 0.3, "levit_conv_128s": 0.3,
        "mambaout_femto": 1.16, "mixer_s32_224": 1.0, "mixnet_s": 0.25, "mnasnet_small": 0.07,
        "mobilenetv1_100": 0.58, "mobilenetv3_large_100": 0.23, "mobilenetv4_conv_small": 0.19,
        "pit_ti_224": 0.7, "pvt_v2_b0": 0.57, "regnetx_004": 0.4, "regnety_004": 0.41,
        "regnetz_005": 0.52, "repghostnet_100": 0.15, "repvit_m0_9": 0.82, "resnet10t": 1.1,
        "resnetblur18": 2.34, "resnetv2_18": 1.82, "rexnet_100": 0.41, "selecsls42": 2.94, "semnasnet_100": 0.32,
        "seresnet18": 1.82, "shvit_s1": 0.24, "skresnet18": 1.82, "starnet_s1": 0.42, "swiftformer_xs": 0.61,
        "visformer_tiny": 1.27, "vit_tiny_patch16_224": 1.26, "vit_tiny_r_s16_p8_224": 0.44,
        "xcit_nano_12_p16_224": 0.56,
    }.items()},
    **{name: (gmacs, 256) for name, gmacs in {
        "cs3darknet_s": 0.72, "edgenext_xx_small": 0.26, "fastvit_t8": 0.69, "mobilevit_xxs": 0.42,
        "mobilevitv2_050": 0.48,
    }.items()},
    "crossvit_tiny_240": (1.57, 240), "nf_regnet_b0": (None, 192), "tf_efficientnetv2_b0": (0.54, 192),
    "tinynet_a": (0.35, 192),
    **{name: (None, size) for name, size in {
        "botnet26t_256": 256, "cait_xxs24_224": 224, "coat_tiny": 224, "coatnet_nano_rw_224": 224, "convit_tiny": 224,
        "csatv2": 256, "densenet121": 224, "dpn48b": 224, "efficientformerv2_s0": 224, "efficientvim_m1": 224,
        "eva02_tiny_patch14_224": 224, "gcresnext26ts": 256, "gcvit_xxtiny": 224, "gmlp_ti16_224": 224,
        "halonet26t": 256, "lambda_resnet26t": 256, "mobileone_s0": 224, "repvgg_a0": 224, "nest_tiny": 224,
        "poolformer_s12": 224, "resmlp_12_224": 224,
        "resnest14d": 224, "swin_tiny_patch4_window7_224": 224, "swinv2_cr_tiny_224": 224, "tiny_vit_5m_224": 224,
        "twins_svt_small": 224, "vit_relpos_small_patch16_224": 224, "volo_d1_224": 224,
    }.items()},
}  # fmt: skip
TORCHVISION = (
    "convnext_tiny", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
)  # fmt: skip
DETECTION = (
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)  # fmt: skip
SEGMENTATION = ("deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large")
VIDEO = ("r3d_18", "s3d")
OWN = ("resnet20", "vgg19_small", "efficientnet_small")

_TEXT = {"vocab_size": 120, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 128}  # fmt: skip
_DECODER = {**_TEXT, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GPT = {"vocab_size": 120, "n_embd": 64, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
_IMAGE = {key: value for key, value in _TEXT.items() if key != "vocab_size"} | {"image_size": 32, "patch_size": 8}
_BOTH = {"encoder_layers": 2, "decoder_layers": 2, "d_model": 64, "encoder_attention_heads": 4,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 120,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "albert": ("AlbertForSequenceClassification", "text", {**_TEXT, "embedding_size": 32}),
    "bart": ("BartForConditionalGeneration", "text to text", _BOTH),
    "bert": ("BertForSequenceClassification", "text", _TEXT),
    "bloom": ("BloomForCausalLM", "text", {"vocab_size": 120, "hidden_size": 64, "n_layer": 2, "n_head": 4,
                                           "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}),
    "deberta-v2": ("DebertaV2ForSequenceClassification", "text", {**_TEXT, "relative_attention": True,
                                                                  "pos_att_type": ["p2c", "c2p"]}),
    "deit": ("DeiTForImageClassification", "image", _IMAGE),
    "distilbert": ("DistilBertForSequenceClassification", "text", {"vocab_size": 120, "dim": 64, "n_layers": 2,
                                                                   "n_heads": 4, "hidden_dim": 128}),
    "dinov2": ("Dinov2ForImageClassification", "image", _IMAGE),
    "electra": ("ElectraForSequenceClassification", "text", {**_TEXT, "embedding_size": 32}),
    "falcon": ("FalconForCausalLM", "text", {key: _DECODER[key] for key in _DECODER if "key_value" not in key}),
    "gemma": ("GemmaForCausalLM", "text", {**_DECODER, "head_dim": 16}),
    "gpt2": ("GPT2LMHeadModel", "text", _GPT),
    "gpt_neox": ("GPTNeoXForCausalLM", "text", {key: _DECODER[key] for key in _DECODER if "key_value" not in key}),
    "gptj": ("GPTJForCausalLM", "text", {**_GPT, "rotary_dim": 8}),
    "llama": ("LlamaForCausalLM", "text", _DECODER),
    "mamba": ("MambaForCausalLM", "text", {"vocab_size": 120, "hidden_size": 64, "num_hidden_layers": 2}),
    "mistral": ("MistralForCausalLM", "text", {**_DECODER, "sliding_window": None}),
    "mixtral": ("MixtralForCausalLM", "text", {**_DECODER, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "olmoe": ("OlmoeForCausalLM", "text", {**_DECODER, "num_experts": 4, "num_experts_per_tok": 2}),
    "opt": ("OPTForCausalLM", "text", {"vocab_size": 120, "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 128,
                                       "num_attention_heads": 4, "word_embed_proj_dim": 64, "pad_token_id": 0,
                                       "bos_token_id": 1, "eos_token_id": 2}),
    "phi": ("PhiForCausalLM", "text", _DECODER),
    "qwen2": ("Qwen2ForCausalLM", "text", _DECODER),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "text", {**_DECODER, "num_experts": 4, "num_experts_per_tok": 2,
                                                  "moe_intermediate_size": 64, "head_dim": 16}),
    "roberta": ("RobertaForSequenceClassification", "text", {**_TEXT, "pad_token_id": 0}),
    "segformer": ("SegformerForSemanticSegmentation", "image", {"hidden_sizes": [16, 32, 64, 64],
                                                                "decoder_hidden_size": 32}),
    "swin": ("SwinForImageClassification", "image", {"image_size": 32, "patch_size": 4, "embed_dim": 24,
                                                     "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}),
    "t5": ("T5ForConditionalGeneration", "text to text", {"vocab_size": 120, "d_model": 64, "d_kv": 16, "d_ff": 128,
                                                          "num_layers": 2, "num_heads": 4, "pad_token_id": 0,
                                                          "eos_token_id": 1, "decoder_start_token_id": 0}),
    "vit": ("ViTForImageClassification", "image", _IMAGE),
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", "sound", {**_TEXT, "conv_dim": [32] * 7,
                                                                "num_feat_extract_layers": 7,
                                                                "num_conv_pos_embedding_groups": 4}),
    "whisper": ("WhisperForConditionalGeneration", "sound to text", {**_BOTH, "num_mel_bins": 16,
                                                                     "max_source_positions": 30}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network: `make` gives it, `example` what its forward takes, `gflop` what is published (and for which input).

    `counts_norms`: what is published counts norms and pooling too, as fvcore does.
    `part` is the part of it that is compared where its answers are no numbers that move little, as boxes are.
    """

    name: str
    make: Callable[[], nn.Module]
    example: Callable[[], Any]
    published: float | None = None
    published_for: Callable[[], Any] | None = None
    digits: float = 0.0
    counts_norms: bool = False
    part: str = ""


def crowd() -> list[Member]:
    """All of them, in the order of their sources; nothing is made yet."""
    return [*_own(), *_torchvision(), *_others_of_torchvision(), *_timm(), *_transformers()]


def _image(size: int, count: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0))


def _own() -> list[Member]:
    from lrexplore.models import load_model

    return [Member(name=f"lrexplore/{name}", make=partial(load_model, name), example=partial(_image, 32))
            for name in OWN]  # fmt: skip


def _torchvision() -> list[Member]:
    from torchvision import models

    members = []
    for name in TORCHVISION:
        weights = next(iter(models.get_model_weights(name)))
        extra = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        size = weights.transforms().crop_size[0]
        members.append(
            Member(
                name=f"torchvision/{name}",
                make=partial(models.get_model, name, weights=None, **extra),
                example=partial(_image, size),
                published=weights.meta["_ops"],
                digits=5e-4,
            )
        )
    return members


def _others_of_torchvision() -> list[Member]:
    from torchvision import models

    def boxes(name: str) -> nn.Module:
        small = {} if name.startswith("ssd") else {"min_size": 128, "max_size": 160}
        return models.get_model(name, weights=None, weights_backbone=None, **small)

    def pictures() -> tuple[list[Tensor]]:
        return (list(_image(128)),)

    def clip(frames: int, size: int) -> Tensor:
        return torch.randn(1, 3, frames, size, size, generator=torch.Generator().manual_seed(0))

    members = [Member(name=f"torchvision/{name}", make=partial(boxes, name), example=pictures, part="backbone")
             for name in DETECTION]  # fmt: skip
    for name in SEGMENTATION:
        make = partial(models.get_model, name, weights=None, weights_backbone=None)
        members.append(Member(name=f"torchvision/{name}", make=make, example=partial(_image, 96)))
    for name, published, frames, size in (("r3d_18", 40.697, 16, 112), ("s3d", 17.979, 128, 224)):
        make = partial(models.get_model, name, weights=None)
        example = partial(clip, 16, 64 if name == "r3d_18" else 224)
        reference: dict[str, Any] = (
            {"published": published, "published_for": partial(clip, frames, size)} if name == "r3d_18" else {}
        )
        members.append(Member(name=f"torchvision/{name}", make=make, example=example, digits=5e-4, **reference))
    return members


def _timm() -> list[Member]:
    from timm import create_model

    return [Member(name=f"timm/{name}", make=partial(create_model, name), example=partial(_image, size),
                   published=gmacs, digits=5e-3, counts_norms=True)
            for name, (gmacs, size) in TIMM.items()]  # fmt: skip


def _transformers() -> list[Member]:
    import transformers

    def ids(count: int = 12) -> Tensor:
        return torch.randint(3, 120, (2, count), generator=torch.Generator().manual_seed(0))

    def sound(count: int, *more: int) -> Tensor:
        return torch.randn(2, *more, count, generator=torch.Generator().manual_seed(0))

    examples = {
        "text": lambda: {"input_ids": ids()},
        "text to text": lambda: {"input_ids": ids(), "decoder_input_ids": ids(8)},
        "image": lambda: {"pixel_values": _image(32)},
        "sound": lambda: {"input_values": sound(1600)},
        "sound to text": lambda: {"input_features": sound(60, 16), "decoder_input_ids": ids(8)},
    }

    def make(kind: str, options: dict[str, Any]) -> nn.Module:
        model = getattr(transformers, kind)
        return model(model.config_class(**options))

    return [Member(name=f"transformers/{name}", make=partial(make, kind, options), example=examples[given])
            for name, (kind, given, options) in TRANSFORMERS.items()]  # fmt: skip
