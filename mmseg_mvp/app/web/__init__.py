"""Web page of ``tools/app.py``. It needs the extra ``web``."""
