"""One color and marker a name, in every picture."""

STYLES = {
    "independent": ("#7f7f7f", "x"),
    "spectral": ("#0072B2", "square"),
    "rescaled": ("#E69F00", "triangle-up"),
    "function": ("#D55E00", "circle"),
    "sampled": ("#CC79A7", "diamond"),
    "whitened": ("#009E73", "star"),
    "refined": ("#56B4E9", "cross"),
    "whitened_function": ("#7F6BD6", "triangle-down"),
    "whitened_centred": ("#44AA99", "pentagon"),
    "whitened_plain": ("#999933", "hexagon"),
}
REFERENCE = ("#222222", "circle-open")
