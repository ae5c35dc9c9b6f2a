"""``python -m tft``: the same as ``tft``."""

from tft.cli import main

main()
