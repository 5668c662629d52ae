"""Weights of open_clip's pretrained tags: their addresses, their place on this machine, and their download."""
import os

import open_clip
from huggingface_hub import constants, try_to_load_from_cache
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.reach import unreachable, unreachable_hub

_CACHE = '~/.cache/clip'  # open_clip's folder of files from plain addresses


class WeightsOutOfReach(UserError):
    """Weights that cannot be downloaded. Each tool names a file in its own way, see :meth:`by`.

    Args:
        model (str): open_clip model name.
        tag (str): Pretrained tag.
        reason (str): Reason in one line.
    """

    def __init__(self, model: str, tag: str, reason: str) -> None:
        self.model, self.tag, self.reason = model, tag, reason
        super().__init__(self.by(f"clip=dict(model='{model}', weights='FILE')"))

    def __reduce__(self) -> tuple:
        return type(self), (self.model, self.tag, self.reason)

    def by(self, setting: str) -> str:
        """Return the message, with the setting by which a user names a file."""
        place = place_of(self.model, self.tag)
        put = f'to {place}, or anywhere and' if place else 'anywhere and'
        return (f"The weights '{self.tag}' of CLIP '{self.model}' are not here and could not be downloaded "
                f'({self.reason}): get {" or ".join(addresses(self.model, self.tag))} on another machine, copy the '
                f'file {put} name it by {setting}; docs/weights.md lists all addresses.')


def addresses(model: str, tag: str) -> list[str]:
    """Return the web addresses of a pretrained tag in open_clip's tables: a plain file, and files of a repository."""
    published = get_pretrained_cfg(model, tag)
    repository, file = os.path.split(published.get('hf_hub') or '')
    page = f'{constants.ENDPOINT}/{repository}'
    files = f'{page}/resolve/main/{file}' if file else f'{HF_SAFE_WEIGHTS_NAME} or {HF_WEIGHTS_NAME} of {page}'
    return [*([published['url']] if published.get('url') else []), *([files] if repository else [])]


def place_of(model: str, tag: str) -> str | None:
    """Return the path at which open_clip finds the file of a plain address; None for a tag of the hub alone."""
    url = get_pretrained_cfg(model, tag).get('url')
    return f'{_CACHE}/{os.path.basename(url)}' if url else None


def file_at_hand(model: str, tag: str) -> str | None:
    """Return the path of the file of a pretrained tag, if it is on this machine."""
    repository, file = os.path.split(get_pretrained_cfg(model, tag).get('hf_hub') or '')
    files = [f'{os.path.splitext(file)[0]}.safetensors', file] if file else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    if found := cached(repository, files):
        return found
    place = os.path.expanduser(place_of(model, tag) or '')
    return place if os.path.isfile(place) else None


def cached(repository: str, files: list[str]) -> str | None:
    """Return the path of the first of some files of a repository that is in the cache of the hub."""
    found = [try_to_load_from_cache(repository, file) for file in files] if repository else []
    return next((path for path in found if isinstance(path, str)), None)


def download(model: str, tag: str) -> str:
    """Return the path of the file of a pretrained tag, which open_clip downloads once.

    Raises:
        WeightsOutOfReach: If the file is not here, and its server does not answer in time or fails.
    """
    published = get_pretrained_cfg(model, tag)
    if found := file_at_hand(model, tag):
        in_plain_cache = found == os.path.expanduser(place_of(model, tag) or '')
        # open_clip compares the checksum.
        return open_clip.download_pretrained(published, prefer_hf_hub=False) if in_plain_cache else found
    repository = os.path.dirname(published.get('hf_hub') or '')
    if reason := unreachable_hub(repository) if repository else unreachable(published['url']):
        raise WeightsOutOfReach(model, tag, reason)
    try:
        return open_clip.download_pretrained(published)
    except Exception as error:  # the hub client raises various exceptions
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise WeightsOutOfReach(model, tag, reason) from error
