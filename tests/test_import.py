"""Importing the package changes nothing in the host: a fresh process is compared before and after, by value.

Run as a script, this file is that process. Its user has settings of their own, so that a setting that is put back to
its default is seen as well, and the comparison must see all that the user changes.
"""
import ast
import atexit
import codecs
import gc
import importlib
import json
import locale
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'mmseg_mvp'
IMPORTED = ('mmseg_mvp', 'mmseg_mvp.apis', 'mmseg_mvp.cli', 'mmseg_mvp.clip')
