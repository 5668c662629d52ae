"""The version of MMSeg-MVP, read by setup.py as text."""
__version__ = '0.1.0'
