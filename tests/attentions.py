"""Tiny networks with every architecture of attention that is known, and a run of each with its masks."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

TOKENS = torch.tensor([[5, 9, 2, 7, 3, 8, 4], [6, 1, 8, 2, 0, 0, 0]])
MASK = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
HIDDEN = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
WORDS = {"vocab_size": 12, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
GROUPED = {**SIZES, **WORDS, "num_key_value_heads": 2}


def _torch_encoder():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    # Padded places are zeros on torch's fast path and numbers on the slow one.
    return nn.TransformerEncoder(layer, 2), lambda m: m(HIDDEN, src_key_padding_mask=MASK == 0) * MASK[..., None]


def _torch_decoder():
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    return nn.Transformer(16, 4, 1, 1, 32), lambda m: m(
        HIDDEN.transpose(0, 1), HIDDEN.transpose(0, 1)[:5], tgt_mask=causal, memory_key_padding_mask=MASK == 0
    )


def _torchvision_vit():
    from torchvision.models import VisionTransformer

    model = VisionTransformer(16, 8, 2, 4, 16, 32, num_classes=5)
    nn.init.normal_(model.heads.head.weight)
    return model, lambda m: m(IMAGES)


def _swin(block):
    from torchvision.models import SwinTransformer, swin_transformer

    block = getattr(swin_transformer, block)
    model = SwinTransformer([2, 2], 16, [2, 2], [2, 4], [2, 2], num_classes=5, block=block)
    return model, lambda m: m(IMAGES)


def _timm():
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(16, 8, embed_dim=16, depth=2, num_heads=4, num_classes=5), lambda m: m(IMAGES)


def _bert():
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**SIZES, **WORDS))
    return model, lambda m: m(TOKENS, attention_mask=MASK).last_hidden_state


def _gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_positions=32, n_embd=16, n_layer=2, n_head=4, **WORDS)
    return GPT2LMHeadModel(config), lambda m: m(TOKENS, attention_mask=MASK).logits


def _gpt2_cross():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_positions=32, n_embd=16, n_layer=1, n_head=4, add_cross_attention=True, **WORDS)
    return (
        GPT2LMHeadModel(config),
        lambda m: (
            m(
                TOKENS,
                encoder_hidden_states=HIDDEN[:, :3].contiguous(),
                attention_mask=MASK,
                encoder_attention_mask=MASK[:, 2:5],
            ).logits
        ),
    )


def _t5():
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(d_model=16, d_kv=4, num_heads=4, num_layers=2, d_ff=32, decoder_start_token_id=0, **WORDS)
    return T5ForConditionalGeneration(
        config
    ), lambda m: m(TOKENS, attention_mask=MASK, decoder_input_ids=TOKENS[:, :5]).logits


def _vit():
    from transformers import ViTConfig, ViTModel

    model = ViTModel(ViTConfig(**SIZES, image_size=16, patch_size=8))
    return model, lambda m: m(IMAGES).last_hidden_state


def _llama(name, **options):
    import transformers

    config = getattr(transformers, f"{name}Config")(**GROUPED, head_dim=4, **options)
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    return model, lambda m: m(TOKENS, attention_mask=MASK).logits


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Callable[[nn.Module], Tensor]]]] = {
    "torch attention": lambda: (nn.MultiheadAttention(16, 4), lambda m: m(*[HIDDEN.transpose(0, 1)] * 3)[0]),
    "torch encoder": _torch_encoder,
    "torch encoder and decoder": _torch_decoder,
    "torchvision ViT": _torchvision_vit,
    "torchvision Swin": lambda: _swin("SwinTransformerBlock"),
    "torchvision Swin V2": lambda: _swin("SwinTransformerBlockV2"),
    "timm ViT": _timm,
    "BERT": _bert,
    "GPT-2": _gpt2,
    "GPT-2 with cross attention": _gpt2_cross,
    "T5": _t5,
    "ViT": _vit,
    "Llama": lambda: _llama("Llama"),
    "Qwen2": lambda: _llama("Qwen2"),
    "Qwen3": lambda: _llama("Qwen3"),
    "Mistral": lambda: _llama("Mistral"),
}


def _of_words(name, **options):
    import transformers

    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**WORDS, **options))
    return model, lambda m: m(TOKENS, attention_mask=MASK).last_hidden_state


def _of_two(name):
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 32}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_attention_heads": 4, f"{side}_ffn_dim": 32}
    model, _ = _of_words(name, **sizes, decoder_start_token_id=2)
    return model, lambda m: m(TOKENS, attention_mask=MASK, decoder_input_ids=TOKENS[:, :5]).last_hidden_state


def _of_images(name):
    import transformers

    config = getattr(transformers, f"{name}Config")(**SIZES, image_size=16, patch_size=8)
    return getattr(transformers, f"{name}Model")(config), lambda m: m(IMAGES).last_hidden_state


RELATIVES: dict[str, Callable[[], tuple[nn.Module, Callable[[nn.Module], Tensor]]]] = {
    **{name: partial(_of_words, name, **SIZES) for name in ("Roberta", "XLMRoberta")},
    "Electra": partial(_of_words, "Electra", **SIZES, embedding_size=16),
    "DistilBert": partial(_of_words, "DistilBert", dim=16, n_layers=1, n_heads=4, hidden_dim=32),
    "OPT": partial(_of_words, "OPT", hidden_size=16, num_hidden_layers=1, num_attention_heads=4, ffn_dim=32,
                   word_embed_proj_dim=16),
    "Gemma": partial(_llama, "Gemma"),
    **{name: partial(_of_two, name) for name in ("Bart", "MBart", "Marian")},
    **{name: partial(_of_images, name) for name in ("DeiT", "Dinov2", "CLIPVision")},
}  # fmt: skip
"""Further classes whose forward is that of one above."""

GENERATING = ("GPT-2", "T5", "Llama", "Mistral")


@cache
def network(name: str) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """The network, in evaluation mode and with weights large enough for attention to matter, and its run."""
    torch.manual_seed(0)
    model, run = (NETWORKS | RELATIVES)[name]()
    with torch.no_grad():
        for tensor_name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in tensor_name:
                parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
            elif "bias" in tensor_name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval(), run


def output(model: nn.Module, run: Callable[[nn.Module], Tensor]) -> Tensor:
    """What a run gives, without gradients."""
    with torch.no_grad():
        return run(model)
