"""Learn a programme from labelled cells: choose its markers, and validate them on held-out cells."""

from scdiff.panels.files import learn_from_files
from scdiff.panels.learn import Panel, panel

__all__ = ["Panel", "learn_from_files", "panel"]
