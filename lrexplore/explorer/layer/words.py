"""A network and one of its layers in words."""

from lrexplore.explorer.subject import Choice, Subject


def title(subject: Subject, choice: Choice) -> str:
    """The layer in words: name, matrix, kind, what is taken to follow it."""
    layer = subject.layers[choice.layer]
    m, n = layer.matrix_shape(choice.scheme)
    kind = "linear" if layer.kind == "linear" else "conv {} x {}".format(*layer.kernel_size)
    parts = [choice.layer or "the model itself", f"{m} x {n}", kind]
    if layer.groups > 1:
        parts.append(f"group 1 of {layer.groups}")
    return " · ".join([*parts, follows(subject, choice)])


def follows(subject: Subject, choice: Choice) -> str:
    """What is taken to follow the layer, and whether that was detected, assumed or chosen."""
    found = subject.layers[choice.layer].follows
    if (choice.activation, choice.batch_norm) == (found.activation, found.batch_norm is not None):
        return f"then {found.text}" if found.text != "nothing" else "then nothing"
    words = (["BN"] if choice.batch_norm else []) + [choice.activation]
    return f"then {', '.join(words)} (chosen; the model has {found.text})"


def summary(subject: Subject) -> str:
    """One line: name, parameters, multiply-adds of one sample."""
    flops = [layer.flops for layer in subject.layers.values()]
    known = None not in flops
    return " · ".join(
        [subject.name, f"{subject.num_parameters / 1e6:.2f} M parameters"]
        + ([f"{sum(flops) / 1e9:.2f} G multiply-adds a sample"] if known else [])
    )


def lines(text: str, width: int) -> list[str]:
    """A text of parts with " · " between them as lines of at most `width` characters, broken between parts alone."""
    found = [""]
    for part in text.split(" · "):
        longer = f"{found[-1]} · {part}" if found[-1] else part
        if len(longer) <= width or not found[-1]:
            found[-1] = longer
        else:
            found.append(part)
    return found
