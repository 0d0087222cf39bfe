"""The command line of a run, one option a choice, and back from choices to a command line."""

import argparse

from lrexplore.recipes.config import CHOICES, Config, kinds
from lrexplore.recipes.published import RECIPES, configure

_HELP = {
    "data": "DIR with train/ and val/, or with shards.json, or the address of one; fashion-mnist (embedded),"
    " fashion-mnist-full, synthetic. For translation: numbers-and-dates (made by rules), catalogs (*.mo of this"
    " machine), a folder of them, or of train.en and train.de. For masked-lm: docstrings (of packages here), a text"
    " file or a folder of them. package.module:function for sets of your own. Only here may an address be a"
    " command, 'pipe:curl -s https://host/shards.json': a shell runs it for that file and for each shard beside it",
    "rank_scale": "rank of every layer as a fraction of the smaller side of its matrix",
    "rank_multiple": "round the ranks of a scale to multiples of this, such as 8 for tensor cores",
    "rank_ratio": "instead: the fraction of all parameters to keep",
    "execution": "how factorized layers compute: by two operations, by one with their product, or what is faster here",
    "form": "what kernels become: factor pairs, Tucker-2, tensor trains, or sums of products of vectors",
    "sparsity": "instead of ranks: the share of single weights to set to zero",
    "prune": "which ones: chosen before the first step (magnitude, snip, grasp, random) or on the way (gradual, set,"
    " rigl)",
    "cutout": "the side of a square set to the mean in every training image",
    "plan": "instead: a file that `lrexplore allocate` or RankPlan.save wrote",
    "overcomplete": "train layers as products wider than they are, of two (full, wide) or three (deep) factors; lr.load"
    " makes them ordinary again",
    "rank_change": "cuttlefish: unfactorized until stable ranks settle, then at these; pufferfish: unfactorized for a"
    " while, then at the ranks chosen; tolerance, budget: low-rank layers that lose last directions as they train",
    "rank_tolerance": "last directions that carry less than this share of a layer's squared norm are cut",
    "rank_budget": "or: the share of all parameters that is reached on the way",
    "rank_warmup": "the share of the run before the switch (at most, of cuttlefish), or until the budget is reached",
    "rank_change_steps": "how often ranks may change; by default once an epoch",
    "start": "begin with these weights: a file of lr.save, factorized or not, a checkpoint, the folder of a run, or"
    " imagenet for published ones",
    "teacher": "learn from its answers: original (the network of --start before it is cut), or one to read as --start",
    "teacher_weight": "how much the teacher counts against the labels; 1: labels are not used",
    "temperature": "what the logits of both are divided by before they are compared",
    "freeze": "layers that stay as they are, such as 'conv1,stages.0'; * stands for anything",
    "layer_lr": "shares of the rate for layers by name, such as 'stages.*=0.1,fc=10'",
    "initializer": ", ".join(CHOICES["initializer"]) + "; or package.module:function for one of your own",
    "decay_strength": "the coefficient of weight decay, and of Frobenius decay on the factors",
    "batch_size": "images of one step, all processes together",
    "micro_batch_size": "images one process takes at once",
    "runs": "the folder that holds the runs",
    "name": "the folder of this run in it",
    "resume": "go on with the run of this name, or start it",
    "epochs": "how long; or use --steps",
    "ema": "evaluate an exponential average of the weights that keeps this share of itself at every step",
    "head_scale": "share of its dimensions that each head keeps, of the networks translation and masked-lm",
    "languages": "source and target of a translation, such as en-de",
    "vocabulary": "pieces of words that are learned from the texts that train",
    "beam": "translations of a sentence that are carried on where BLEU is measured",
    "record_spectra": "record the singular values of every layer and what cutting it would cost, over time",
    "spectra_steps": "every so many steps; by default about ten times a run",
    "norms_from": "with --decay normalized: the folder of the run whose norms are kept",
}


def parser(program: str) -> argparse.ArgumentParser:
    """The parser of a run's options; what is left out stays None, for the recipe to say."""
    made = argparse.ArgumentParser(
        program, description="Train a network, low-rank or not, and record how it goes.", allow_abbrev=False
    )
    made.add_argument("model", help="a network's name, such as resnet20 (for 28 to 32 pixels), resnet50,"
                      " translation or masked-lm,"
                      " or package.module:function for one of your own")  # fmt: skip
    made.add_argument("--recipe", choices=list(RECIPES), help="defaults of published work; any option wins over it")
    for name, kind in kinds().items():
        if name in ("model", "recipe"):
            continue
        option = f"--{name.replace('_', '-')}"
        if kind is bool:
            made.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=_HELP.get(name))
        elif name == "milestones":
            made.add_argument(option, type=float, nargs="+", help="fractions of the run at which the rate drops")
        else:
            choices = None if name == "initializer" else CHOICES.get(name)  # a person's own is no choice of ours
            made.add_argument(option, type=kind, choices=choices, help=_HELP.get(name))
    return made


def parse(program: str, arguments: list[str] | None = None) -> Config:
    """The configuration that a command line means."""
    options = vars(parser(program).parse_args(arguments))
    if options.get("milestones"):
        options["milestones"] = tuple(options["milestones"])
    return configure(options.pop("recipe") or "short", **options)


def command_line(config: Config) -> list[str]:
    """Arguments that `parse` turns into this configuration."""
    arguments = [config.model]
    for name, kind in kinds().items():
        value = getattr(config, name)
        if name == "model" or value is None:
            continue
        option = name.replace("_", "-")
        if kind is bool:
            arguments.append(f"--{option}" if value else f"--no-{option}")
        elif name == "milestones":
            arguments += [f"--{option}", *map(repr, value)]
        else:
            arguments += [f"--{option}", str(value)]
    return arguments
