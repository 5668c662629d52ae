"""Writes docs/weights.md, the addresses of all weights that the configs use: python docs/weights.py [FILE]."""
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import constants
from mmengine.config import Config

from mmseg_mvp.apis.model_config import DEFAULT_CLIP
from mmseg_mvp.clip import TOYS
from mmseg_mvp.clip.at_hand import timm_addresses
from mmseg_mvp.clip.download import addresses, place_of
from mmseg_mvp.utils.reach import web_address

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_suffix('.md')
HEAD = """# Weights and their addresses

Weights are downloaded once, when a model is built or trained. Without a network, get the file on another machine.
`docs/weights.py` writes this page from the configs and from the tables of open_clip, timm and mmengine.

- Name a file of CLIP: `--clip MODEL:FILE` for `tools/segment.py`, `tools/app.py` and `tools/adapt.py`; `--cfg-options
  model.clip.weights=FILE` for tools with a config; `clip=dict(model='MODEL', weights='FILE')` in Python.
- Or copy it to the place in the table. Files of the Hugging Face hub have no such place: name them.
- A server that does not answer within four seconds counts as out of reach. Downloads use the proxies of the
  environment (`https_proxy`, `no_proxy`), `HF_ENDPOINT` (a mirror), `HF_TOKEN` and `HF_HOME`. With `HF_HUB_OFFLINE=1`,
  only files on this machine are used.

"""


def parts(node: Any) -> Iterator[Mapping]:
    """Generate all dicts in a part of a config."""
    if isinstance(node, Mapping):
        yield node
    for inner in node.values() if isinstance(node, Mapping) else node if isinstance(node, (list, tuple)) else ():
        yield from parts(inner)


def rows() -> tuple[dict, dict, dict]:
    """Collect CLIPs, proxies and checkpoints of all configs, each with the configs that use it."""
    clips, proxies, checkpoints = {tuple(DEFAULT_CLIP.values()): ['default without a config']}, {}, {}
    for path in sorted((ROOT / 'configs').glob('*/*.py')):
        name = str(path.relative_to(ROOT / 'configs'))
        if name.startswith('_base_'):
            continue
        for part in parts(Config.fromfile(path, import_custom_modules=False).to_dict().get('model') or {}):
            clip, dense, init = (part.get(key) or {} for key in ('clip', 'dense', 'init_cfg'))
            if clip.get('model') and clip['model'] not in TOYS:
                clips.setdefault((clip['model'], clip['weights']), []).append(name)
            if isinstance(dense, Mapping) and dense.get('type') == 'proxy':
                proxies.setdefault(dense.get('model', 'vit_base_patch8_224.dino'), []).append(name)
            if isinstance(init, Mapping) and init.get('checkpoint'):
                checkpoints.setdefault(init['checkpoint'], []).append(name)
    return clips, proxies, checkpoints


def used_by(names: list[str]) -> str:
    """Return the folders of configs, or the configs that are alone in theirs."""
    folders = dict.fromkeys(name.partition('/')[0] for name in names)
    groups = [[name for name in dict.fromkeys(names) if name.partition('/')[0] == folder] for folder in folders]
    return ', '.join(f'`{group[0]}`' if len(group) == 1 and '/' in group[0] else
                     f'`{group[0].partition("/")[0]}/`' if '/' in group[0] else group[0] for group in groups)


def page() -> str:
    """Return the text of the page."""
    clips, proxies, checkpoints = rows()
    lines = ['## CLIP', '', '| model | weights | address | place | used by |', '|---|---|---|---|---|']
    for (model, tag), names in sorted(clips.items()):
        place = place_of(model, tag)
        lines.append(f'| {model} | {tag} | {"<br>".join(addresses(model, tag))} | {f"`{place}`" if place else ""} | '
                     f'{used_by(names)} |')
    lines += ['', 'SigLIP, SigLIP 2 and MetaCLIP 2 also read a tokenizer from a repository of the hub. Copy its files',
              'to a folder and set `model.clip.tokenizer` to it:', '', '| model | tokenizer |', '|---|---|']
    for model in ('ViT-B-16-SigLIP', 'ViT-B-16-SigLIP2', 'ViT-H-14-worldwide-quickgelu'):
        name = open_clip.get_model_config(model)['text_cfg']['hf_tokenizer_name']
        lines.append(f'| {model} | {constants.ENDPOINT}/{name} |')
    lines += ['', '## Proxies', '', '| timm model | address | setting | used by |', '|---|---|---|---|']
    for model, names in sorted(proxies.items()):
        lines.append(f'| {model} | {"<br>".join(timm_addresses(model))} | `model.backbone.dense.weights=FILE` | '
                     f'{used_by(names)} |')
    lines += ['', '## Backbones of trained networks', '',
              'The place is the file name in `~/.cache/torch/hub/checkpoints`. A path without an address is a file',
              'that you convert ([LSeg](lseg.md)).', '',
              '| `init_cfg.checkpoint` | address | used by |', '|---|---|---|']
    for source, names in sorted(checkpoints.items()):
        address = web_address(source)
        shown = '' if address is None else 'the same' if address == source else address
        lines.append(f'| `{source}` | {shown} | {used_by(names)} |')
    return HEAD + '\n'.join(lines) + '\n'


if __name__ == '__main__':
    Path(sys.argv[1] if sys.argv[1:] else PAGE).write_text(page())
