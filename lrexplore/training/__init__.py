"""Training: `lr.train(...)` starts a run in the background, `python -m lrexplore.training` is one."""


def __getattr__(name):
    """`train`, imported on first use: a run must be able to hear a signal before torch is there."""
    if name == "train":
        from lrexplore.training.background import train

        return train
    raise AttributeError(f"module 'lrexplore.training' has no attribute {name!r}")
