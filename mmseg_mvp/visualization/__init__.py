"""Pictures of what a model sees."""
from .hook import SideBySideVisualizationHook
from .palette import distinct_colours
from .side_by_side import side_by_side

__all__ = ['SideBySideVisualizationHook', 'distinct_colours', 'side_by_side']
