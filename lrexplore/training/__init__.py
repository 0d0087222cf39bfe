"""Training: `lr.train(...)` starts a run in the background, `python -m lrexplore.training` is one.

`lr.finetune(...)` trains a network that a notebook holds.
"""


def __getattr__(name):
    """A public name, imported on first use: a run must be able to hear a signal before torch is there."""
    if name == "train":
        from lrexplore.training.background import train

        return train
    if name == "finetune":
        from lrexplore.training.finetuning.finetune import finetune

        return finetune
    raise AttributeError(f"module 'lrexplore.training' has no attribute {name!r}")
