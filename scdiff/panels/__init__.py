"""Learn a programme from labelled cells, and validate it on held-out cells."""

from scdiff.panels.files import learn_from_files
from scdiff.panels.learn import Panel, panel
from scdiff.panels.output import write_panel

__all__ = ["Panel", "learn_from_files", "panel", "write_panel"]
