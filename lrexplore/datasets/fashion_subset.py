"""Makes data/fashion-mnist-subset.png: `python -m lrexplore.datasets.fashion_subset`."""

from PIL import Image

from lrexplore.datasets.fashion import SUBSET, fashion_mnist, sheet


def main() -> None:
    """Writes the first 500 training and 100 test images of every class as one picture."""
    Image.fromarray(sheet(*fashion_mnist(whole=True))).save(SUBSET, optimize=True)


if __name__ == "__main__":
    main()
