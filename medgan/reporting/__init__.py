"""What people read: figures, one self-contained HTML report, a model card.

Knows volumes and the results of evaluation. Must not know tensors, networks or files: every function returns text or
the bytes of a PNG, and commands write them. Matplotlib and Jinja2 are imported when a function needs them.
"""

from medgan.reporting.charts import error_strip, score_scatter, training_curves
from medgan.reporting.contact_sheet import Tile, contact_sheet, thumbnail
from medgan.reporting.figures import three_planes
from medgan.reporting.model_card import render_model_card
from medgan.reporting.panel import Panel, error_panel, percentile_window
from medgan.reporting.report import render_report
from medgan.reporting.sections import FigureSection, KeyFacts, Section, TableSection, TextSection, WarningSection
from medgan.reporting.tables import comparison_table, difference_table, summary_table
from medgan.reporting.viewer import ViewerSection, ViewerVolume

__all__ = [
    "FigureSection",
    "KeyFacts",
    "Panel",
    "Section",
    "TableSection",
    "TextSection",
    "Tile",
    "ViewerSection",
    "ViewerVolume",
    "WarningSection",
    "comparison_table",
    "contact_sheet",
    "difference_table",
    "error_panel",
    "error_strip",
    "percentile_window",
    "render_model_card",
    "render_report",
    "score_scatter",
    "summary_table",
    "three_planes",
    "thumbnail",
    "training_curves",
]
