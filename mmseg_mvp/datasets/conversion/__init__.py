"""Conversion of annotations to masks of labels, for the commands in tools/dataset_converters."""
from .jobs import Job, convert

__all__ = ['Job', 'convert']
