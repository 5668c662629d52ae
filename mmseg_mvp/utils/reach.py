"""Can a server be reached? Asked before a download, because the hosts' downloads wait for minutes, or forever."""
import os
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.error import HTTPError, URLError

import torch
from huggingface_hub import HfApi
from mmengine.runner.checkpoint import get_external_models, get_torchvision_models
from torch import nn

LIMIT = 4.  # seconds
_OF_PROXIES = (407, 502, 503, 504)  # status codes of a proxy or gateway that gets no answer itself
_TABLES = {'open-mmlab': get_external_models, 'torchvision': get_torchvision_models}


class OutOfReach(ConnectionError):
    """File that must be downloaded from a server that does not answer."""


def unreachable(address: str) -> str | None:
    """Return the reason if no server answers for an address of the web in time; None if one does, by any answer.

    Proxies of the environment (``https_proxy``, ``no_proxy``) are used, as by the downloads.
    """
    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method='HEAD'), timeout=LIMIT).close()
        except HTTPError as error:
            if error.code in _OF_PROXIES:
                raise
        except URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # the download may know other certificates
                raise

    return failure(ask)


def unreachable_hub(repository: str) -> str | None:
    """Return the reason if the Hugging Face hub gives no information on a repository in time.

    ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``, ``HF_TOKEN`` and proxies of the environment are respected.
    """
    return failure(lambda: HfApi().model_info(repository, timeout=LIMIT))


def failure(call: Callable[[], object]) -> str | None:
    """Run a call; return one line on its exception, or that it takes more than :data:`LIMIT` seconds.

    A thread is needed, because the look-up of a host name has no limit of time.
    """
    reasons = ['no answer in time']

    def run() -> None:
        try:
            call()
            reasons[0] = None
        except Exception as error:  # clients raise various exceptions
            reasons[0] = ' '.join(str(error).split())[:200] or type(error).__name__

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return reasons[0]


def web_address(source: str) -> str | None:
    """Return the web address of a checkpoint that mmengine names (``https://``, ``open-mmlab://``, ...), if any."""
    scheme, found, name = str(source).partition('://')
    if found and scheme in _TABLES:
        return _TABLES[scheme]().get(name)
    return source if found and scheme in ('http', 'https') else None


def in_torch_cache(source: str) -> bool:
    """Return True if the file of a web address, or of a name of mmengine for one, is in torch's cache."""
    address = web_address(source) or source
    return Path(torch.hub.get_dir(), 'checkpoints', os.path.basename(address)).is_file()


def check_checkpoint_address(source: str) -> None:
    """Check that a checkpoint of a web address is in torch's cache, or that its server answers.

    Raises:
        OutOfReach: If not, with the address, the reason, and the place of the file in the cache.
    """
    address = web_address(source)
    if address is None or in_torch_cache(source):
        return
    if reason := unreachable(address):
        folder = Path(torch.hub.get_dir(), 'checkpoints')
        raise OutOfReach(f'{address} is out of reach, {reason}; the file can also lie in {folder}')


def check_pretrained(model: nn.Module) -> None:
    """Check the addresses of all ``init_cfg`` of a model that load a checkpoint, see :func:`check_checkpoint_address`.

    Raises:
        OutOfReach: If one is out of reach.
    """
    for module in model.modules():
        settings = getattr(module, 'init_cfg', None)
        for one in settings if isinstance(settings, (list, tuple)) else [settings]:
            if isinstance(one, Mapping) and one.get('checkpoint'):
                check_checkpoint_address(one['checkpoint'])
