"""Annotations of other tools: conversion to the folder of a data set, and back."""
from .coco_file import write_coco
from .conversion import Converted, convert
from .finding import FORMATS
from .writing import coco_annotations, labelme_record

__all__ = ['FORMATS', 'Converted', 'coco_annotations', 'convert', 'labelme_record', 'write_coco']
