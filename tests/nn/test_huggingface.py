"""Factorized networks of transformers, and adapters of PEFT on them."""

import copy
import json
import subprocess
import sys

import pytest
import torch

import lrexplore as lr
from lrexplore.nn import factorized_layers

transformers = pytest.importorskip("transformers", reason="the networks are transformers'")
peft = pytest.importorskip("peft", reason="the adapters are PEFT's")

IDS = torch.randint(3, 100, (2, 12), generator=torch.Generator().manual_seed(0))
SMALL = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 128}  # fmt: skip


def bert(**options):
    torch.manual_seed(0)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, **off, **options)).eval()


def llama():
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, pad_token_id=0)).eval()


@pytest.fixture(scope="module")
def small():
    return lr.factorize(bert(), rank_scale=0.3)


def same(a, b):
    return torch.allclose(a(input_ids=IDS).logits, b(input_ids=IDS).logits, atol=1e-6)


@pytest.mark.parametrize("build", [bert, llama])
def test_a_factorized_network_comes_back_from_its_folder(build, tmp_path):
    model = build()
    small = lr.factorize(model, rank_scale=0.3)
    small.save_pretrained(tmp_path / "saved")
    for again in (type(model).from_pretrained(tmp_path / "saved"), lr.load(tmp_path / "saved")):
        assert same(again, small) and not again.training and len(factorized_layers(again)) > 2
    again.half().float().save_pretrained(tmp_path / "again")
    assert len(factorized_layers(lr.load(tmp_path / "again"))) == len(factorized_layers(small))
    assert getattr(model.config, "quantization_config", None) is None, "the person's own config is left alone"


def test_a_fresh_process_opens_the_folder_by_one_call(small, tmp_path):
    small.save_pretrained(tmp_path)
    torch.save(small(input_ids=IDS).logits.detach(), tmp_path / "said.pt")
    code = (
        "import sys, torch, lrexplore as lr, transformers\n"
        "lr.register_transformers(); lr.register_transformers()\n"
        "net = transformers.AutoModelForSequenceClassification.from_pretrained(sys.argv[1])\n"
        "ids = torch.randint(3, 100, (2, 12), generator=torch.Generator().manual_seed(0))\n"
        "print(torch.allclose(net(input_ids=ids).logits, torch.load(sys.argv[1] + '/said.pt'), atol=1e-6))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_names_in_the_file_are_those_of_before_but_for_the_factors(small, tmp_path):
    from safetensors.torch import load_file

    small.save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    before = set(bert().state_dict())
    assert names - before == {f"{name}.{part}" for name in factorized_layers(small) for part in ("left", "right")}
    assert before - names == {f"{name}.weight" for name in factorized_layers(small)}
    note = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert note["quant_method"] == "lrexplore" and set(note["layers"]) == set(factorized_layers(small))


def test_the_body_of_a_network_with_a_head_is_opened_too(small, tmp_path):
    small.save_pretrained(tmp_path)
    body = transformers.BertModel.from_pretrained(tmp_path).eval()
    assert torch.allclose(body(input_ids=IDS)[0], small.bert(input_ids=IDS)[0], atol=1e-6)


def test_a_collapsed_network_says_nothing_in_its_config(small, tmp_path):
    lr.collapse(small).save_pretrained(tmp_path)
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())
    again = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.allclose(again(input_ids=IDS).logits, small(input_ids=IDS).logits, atol=1e-5)


def test_a_loaded_network_trains(small, tmp_path):
    small.save_pretrained(tmp_path)
    again = lr.load(tmp_path).train()
    again(input_ids=IDS, labels=torch.tensor([0, 1])).loss.backward()
    assert all(layer.left.grad is not None for layer in factorized_layers(again).values())
    assert not getattr(again, "is_quantized", False) and not hasattr(again, "hf_quantizer")


def test_a_folder_that_names_no_class_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="must be a folder whose config.json names a class of transformers"):
        lr.load(tmp_path)


def test_an_adapter_on_the_factors_trains_alone_and_merges_into_them(small, tmp_path):
    base = copy.deepcopy(small)
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=[], target_parameters=["left", "right"]))
    assert same(model, small)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 4 * len(factorized_layers(small)) and all("lora_" in name for name in trained)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    losses = []
    for _ in range(6):
        loss = model(input_ids=IDS, labels=torch.tensor([0, 1])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    said = model(input_ids=IDS).logits
    model.save_pretrained(tmp_path / "adapter")
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(small), tmp_path / "adapter")
    assert torch.allclose(loaded(input_ids=IDS).logits, said, atol=1e-6)
    merged = model.merge_and_unload()
    assert torch.allclose(merged(input_ids=IDS).logits, said, atol=1e-5)
    lr.save(merged, tmp_path / "merged.safetensors")
    assert same(lr.load(tmp_path / "merged.safetensors", bert()), merged)


def test_a_network_of_two_parts_is_exported_without_its_caches(tmp_path):
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=100, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    small = lr.factorize(transformers.T5ForConditionalGeneration(config).eval(), rank_scale=0.3)
    inputs = {"input_ids": IDS, "decoder_input_ids": IDS[:, :5]}
    lr.export(small, tmp_path / "small.pt2", inputs)
    said = torch.export.load(tmp_path / "small.pt2").module()(**inputs)
    assert torch.allclose(said["logits"], small(**inputs).logits, atol=1e-5) and small.decoder.config.use_cache


def test_falcons_own_linear_layer_is_one():
    torch.manual_seed(0)
    options = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = transformers.FalconForCausalLM(transformers.FalconConfig(**options)).eval()
    layers = [layer for layer in lr.network.find_layers(model) if layer.skip_reason is None]
    assert len(layers) == 8
    full = lr.factorize(model, ranks={layer.name: min(layer.matrix_shape()) for layer in layers})
    assert torch.allclose(full(input_ids=IDS).logits, model(input_ids=IDS).logits, atol=1e-5)


def test_a_language_model_is_exported_without_its_cache(tmp_path):
    small = lr.factorize(llama(), rank_scale=0.3)
    lr.export(small, tmp_path / "small.pt2", {"input_ids": IDS})
    assert small.config.use_cache
    said = torch.export.load(tmp_path / "small.pt2").module()(input_ids=IDS[:1])
    assert torch.allclose(said["logits"], small(input_ids=IDS[:1]).logits, atol=1e-5)


WAYS = {
    "tensor trains": lambda model: lr.factorize(
        model, form="tt", rank_scale=0.3,
        shapes={f"bert.encoder.layer.{i}.intermediate.dense": ((16, 8), (8, 8)) for i in (0, 1)},
    ),
    "overcomplete": lambda model: lr.overcomplete(model, "deep", layers=["bert.encoder.layer.0.intermediate.dense"]),
    "pruned": lambda model: lr.prune(model, sparsity=0.8),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_networks_in_other_forms_come_back_from_their_folder_too(way, tmp_path):
    model = bert()
    small = way(model)
    small.save_pretrained(tmp_path)
    again = lr.load(tmp_path)
    assert same(again, small) and repr(again) == repr(small)
    assert getattr(lr.collapse(again).config, "quantization_config", None) is None
    assert same(lr.collapse(again), small)
