"""Pictures of predictions and prompts."""
from .charts import draw_presence, draw_views
from .hook import SideBySideVisualizationHook
from .note import write_note
from .overlay import draw_overlay
from .palette import distinct_colours
from .side_by_side import side_by_side

__all__ = ['SideBySideVisualizationHook', 'distinct_colours', 'draw_overlay', 'draw_presence', 'draw_views',
           'side_by_side', 'write_note']
