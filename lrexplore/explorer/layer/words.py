"""A network and one of its layers in words."""

from lrexplore.explorer.real_inputs import IMPLIED, YOURS
from lrexplore.explorer.subject import Choice, Subject
from lrexplore.network.attention.head_layers import is_head

LACKING = {
    IMPLIED: "the batch norms imply nothing of what this layer is given",
    YOURS: "the calibration has no inputs of this layer",
}


def title(subject: Subject, choice: Choice) -> str:
    """The layer in words: name, matrix, kind, what is taken to follow it."""
    layer = subject.layers[choice.layer]
    assert not is_head(layer)  # those have a title of their own
    m, n = layer.matrix_shape(choice.scheme)
    kind = "linear" if layer.kind == "linear" else "conv {} x {}".format(*layer.kernel_size)
    parts = [choice.layer or "the model itself", f"{m} x {n}", kind]
    if layer.groups > 1:
        parts.append(f"group 1 of {layer.groups}")
    return " · ".join([*parts, follows(subject, choice)])


def follows(subject: Subject, choice: Choice) -> str:
    """What is taken to follow the layer, and whether that was detected, assumed or chosen."""
    detected = subject.layers[choice.layer].follows
    if (choice.activation, choice.batch_norm) == (detected.activation, detected.batch_norm is not None):
        return f"then {detected.text}" if detected.text != "nothing" else "then nothing"
    words = (["BN"] if choice.batch_norm else []) + [choice.activation]
    return f"then {', '.join(words)} (chosen; the model has {detected.text})"


def inputs_in_full(said: str, choice: Choice) -> str:
    """What a study says of its inputs, and why they are not those that were chosen."""
    return f"{said}: {LACKING[choice.lacking]}" if choice.lacking else said


def summary(subject: Subject) -> str:
    """One line: name, parameters, multiply-adds of one sample."""
    return " · ".join(
        [subject.name, f"{subject.num_parameters / 1e6:.2f} M parameters"]
        + ([] if subject.flops is None else [f"{subject.flops / 1e9:.2f} G multiply-adds a sample"])
    )


def lines(text: str, width: int) -> list[str]:
    """A text of parts with " · " between them as lines of at most `width` characters, broken between parts alone."""
    rows = [""]
    for part in text.split(" · "):
        longer = f"{rows[-1]} · {part}" if rows[-1] else part
        if len(longer) <= width or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(part)
    return rows
