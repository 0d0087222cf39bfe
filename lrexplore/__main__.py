"""`python -m lrexplore`: the same as the command `lrexplore`."""

from lrexplore.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
