"""``python -m scdiff`` is the command ``scdiff``."""

from scdiff.cli import main

if __name__ == "__main__":
    main()
