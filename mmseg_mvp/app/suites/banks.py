"""Feature banks of the tests of a suite: one folder per CLIP and backbone, so that rows and seeds share features."""
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg_mvp.utils.config import merge_options, read_config


def bank_of(folder: Path, config: str | Path, options: Mapping[str, Any]) -> Path | None:
    """Return the folder in ``folder`` for the tests of a config with options; None without a frozen CLIP backbone."""
    cfg = read_config(config)
    merge_options(cfg, dict(options))
    backbone = cfg.model.get('backbone') or {}
    if backbone.get('type', '').rpartition('.')[2] != 'CLIPImageEncoder' or not backbone.get('frozen', True):
        return None
    settings = json.dumps([cfg.model.get('clip'), backbone], sort_keys=True, default=str)
    clip = backbone.get('clip') or cfg.model.get('clip') or {}
    return folder / f'{clip.get("model", "clip")}-{hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()}'
