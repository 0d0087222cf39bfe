"""Google Colab, which shows no update that a background thread sends: what would run in one runs in its caller."""

import sys


def shows_background() -> bool:
    """Whether what a background thread sends to the browser is shown."""
    return "google.colab" not in sys.modules
