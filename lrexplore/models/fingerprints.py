"""Which architectures a state dict may be of, told by the names of its tensors alone; no architecture is built."""

import hashlib
import re
from collections.abc import Iterable

_AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
# torchvision's DenseNet files are older than its DenseNet code, which renames these keys while it downloads.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")

FINGERPRINTS: dict[str, tuple[str, ...]] = {
    "ab64f8c5af4b": ("alexnet",),
    "04bb85828e4d": (
        "convnext_base",
        "convnext_large",
        "convnext_small",
    ),
    "819b4674fa7a": ("convnext_tiny",),
    "01da9529598d": ("densenet121",),
    "944b45537b4c": ("densenet161",),
    "91709aefbb60": ("densenet169",),
    "e59d00427a51": ("densenet201",),
    "da04676151c5": ("efficientnet_b0",),
    "dadcfad3020d": (
        "efficientnet_b1",
        "efficientnet_b2",
    ),
    "d253f74068b8": ("efficientnet_b3",),
    "c436445b5159": ("efficientnet_b4",),
    "052e8a066c2f": ("efficientnet_b5",),
    "9e0f2c9e7200": ("efficientnet_b6",),
    "f35749738c33": (
        "efficientnet_b7",
        "efficientnet_b9",
    ),
    "191789dfe91e": ("efficientnet_lite0",),
    "ba677dc9ac26": ("efficientnet_small",),
    "1131fbd538f2": ("efficientnet_v2_l",),
    "f1c19baf35d2": ("efficientnet_v2_m",),
    "ccf0421e4635": ("efficientnet_v2_s",),
    "4002aa12668d": ("googlenet",),
    "ed87dd0f166a": ("inception_v3",),
    "5c7b2e0b6b5d": ("maxvit_t",),
    "13b923777e81": (
        "mnasnet0_5",
        "mnasnet0_75",
        "mnasnet1_0",
        "mnasnet1_3",
    ),
    "7abb0d3441db": ("mobilenet_v2",),
    "0692ecb8f00e": ("mobilenet_v3_large",),
    "17774ef707f7": ("mobilenet_v3_small",),
    "cdc5460a8fcd": ("regnet_x_16gf",),
    "0005f758f3dc": ("regnet_x_1_6gf",),
    "b3c4e775dd3c": ("regnet_x_32gf",),
    "ec4b868046fe": ("regnet_x_3_2gf",),
    "ef61c30f5f0f": ("regnet_x_400mf",),
    "e52da8fd19e4": ("regnet_x_800mf",),
    "0149e3e7d0b0": ("regnet_x_8gf",),
    "1e335ae7276c": ("regnet_y_128gf",),
    "119059fc0635": ("regnet_y_16gf",),
    "5ad3de52fa16": ("regnet_y_1_6gf",),
    "198097cb4c07": ("regnet_y_32gf",),
    "a71288a234fa": ("regnet_y_3_2gf",),
    "fb81768fe349": ("regnet_y_400mf",),
    "a15a839905ed": ("regnet_y_800mf",),
    "1e1b00d5a234": ("regnet_y_8gf",),
    "65c093d2a208": (
        "resnet101",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet101_2",
    ),
    "04b2407d3df6": ("resnet110",),
    "9f9c78c1b074": ("resnet152",),
    "e90b1f58ce95": ("resnet18",),
    "5c0acfafb417": (
        "resnet20",
        "resnet20_tenth",
        "resnet20_twentieth",
    ),
    "d29b05fe6f4f": ("resnet32",),
    "d01eb3c2b94c": ("resnet32x2",),
    "aeaf9ac2b41b": ("resnet34",),
    "0df444235516": ("resnet44",),
    "d1512e10e88b": (
        "resnet50",
        "resnext50_32x4d",
        "wide_resnet50_2",
    ),
    "0c7439acd8d9": ("resnet56",),
    "273e527db5f7": ("separable_resnet28_10",),
    "824c1bfd4dca": (
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x2_0",
    ),
    "6512bd708bb2": ("squeezenet1_0",),
    "377239e32f1b": ("squeezenet1_1",),
    "93b93d8b8048": (
        "swin_b",
        "swin_s",
    ),
    "dc26dcabe05e": ("swin_t",),
    "e9714fb9e990": (
        "swin_v2_b",
        "swin_v2_s",
    ),
    "c04a9f14aa08": ("swin_v2_t",),
    "dc2092b06b2a": ("vgg11",),
    "fdfeb8f98ed2": ("vgg11_bn",),
    "caa86d3b835f": ("vgg13",),
    "8a97c01fd4a2": ("vgg13_bn",),
    "66817e793078": ("vgg16",),
    "b3372d34016e": ("vgg16_bn",),
    "eb851df2390f": ("vgg19",),
    "c9646600927e": ("vgg19_bn",),
    "66acc302a645": ("vgg19_small",),
    "efb732016fb3": (
        "vit_b_16",
        "vit_b_32",
    ),
    "88ce45968492": ("vit_h_14",),
    "c1203f0b0f15": (
        "vit_l_16",
        "vit_l_32",
    ),
    "0511de42950e": ("wide_resnet28_10",),
}
"""`fingerprint` of the names of an architecture's tensors -> the architectures that have these."""


def fingerprint(names: Iterable[str]) -> str:
    """A short hash of the names of tensors, in any order; batch counters, which old checkpoints lack, are left out."""
    kept = sorted(name for name in names if not name.endswith("num_batches_tracked"))
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:12]


def renamed(architecture: str, names: Iterable[str]) -> dict[str, str]:
    """Name of a tensor in the architecture -> its name in a file, of the tensors that the architecture has here."""
    kept = [name for name in names if not name.startswith(_AUXILIARY.get(architecture, ()))]
    if architecture.startswith("densenet"):
        return {_OLD_DENSENET.sub(r"\1\2", name): name for name in kept}
    return {name: name for name in kept}


def candidates(names: Iterable[str]) -> set[str]:
    """The listed architectures whose tensors have these names."""
    names = list(names)
    prints = {fingerprint(renamed(architecture, names)) for architecture in ("", "densenet121", *_AUXILIARY)}
    return {architecture for key in prints for architecture in FINGERPRINTS.get(key, ())}


def is_listed(architecture: str) -> bool:
    """Whether the list has the architecture: a later torchvision has others."""
    return any(architecture in names for names in FINGERPRINTS.values())
