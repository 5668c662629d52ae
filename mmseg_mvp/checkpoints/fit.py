"""Check, while a checkpoint is loaded, that it fits a model completely."""
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from torch import nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.wrappers import unwrapped

# Entries that no prediction uses, or that the classifier checks itself.
_UNUSED = re.compile(r'(.*\.)?(num_batches_tracked|_extra_state)|auxiliary_head\..*')
_MISSHAPEN = re.compile(r'size mismatch for (\S+): copying a param with shape (.+) from checkpoint, the shape in '
                        r'current model is (.+?)\.?\s*', re.DOTALL)


@contextmanager
def checked_fit(model: nn.Module, source: str, whole: bool = True) -> Iterator[None]:
    """Check each load into a model within a ``with`` block.

    Entries that inference does not use may be missing: auxiliary heads and BatchNorm's counters. Entries that the model
    does not have are named in a warning.

    Args:
        model (nn.Module): Model, or a wrapper of it, such as DDP or a ``BaseTTAModel``.
        source (str): Checkpoint, for messages.
        whole (bool): True refuses a checkpoint that fits in part; False warns, as is right for fine-tuning.

    Raises:
        UserError: If ``whole`` is True and a tensor is missing or has another shape, no tensor fits, or a
            weight is not finite.
    """
    model = unwrapped(model)
    lists = []

    def note(state_dict: dict, prefix: str, metadata: dict, strict: bool, *found: list[str]) -> None:
        if not prefix:  # a model inside a larger one is not checked
            lists[:] = found

    def check(module: nn.Module, incompatible: object) -> None:
        if lists:
            _check(model, source, whole, *lists)
            _check_finite(model, source)
            lists.clear()

    handles = model._register_load_state_dict_pre_hook(note), model.register_load_state_dict_post_hook(check)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check(model: nn.Module, source: str, whole: bool, missing: list[str], unexpected: list[str],
           errors: list[str]) -> None:
    """Report the entries that torch collects while it loads a state dict."""
    missing = [key for key in missing if not _UNUSED.fullmatch(key)]
    found = [_MISSHAPEN.fullmatch(error.replace('torch.Size([', '(').replace('])', ')')) for error in errors]
    misshapen = [f'{match[1]} ({match[2]} in the checkpoint, {match[3]} in the model)' if match else error
                 for error, match in zip(errors, found)
                 if not (match and _UNUSED.fullmatch(match[1]))]
    used = [key for key in model.state_dict() if not _UNUSED.fullmatch(key)]
    faults = [_list(names, fault) for names, fault in ((misshapen, 'of another shape'), (missing, 'missing')) if names]
    extra = _list(unexpected, 'unknown to the model') if unexpected else ''
    if faults:
        sentence = f'checkpoint {source} fits in part: of the model\'s {len(used)} tensors, {" and ".join(faults)}'
        sentence = f'{sentence}; of the checkpoint\'s, {extra}' if extra else sentence
        if whole or len(misshapen) + len(missing) >= len(used):
            raise UserError(f'{sentence}; give the checkpoint of this config, or the config of the checkpoint')
        print_log(f'{sentence}; these keep their initial values', 'current', logging.WARNING)
    elif extra:
        print_log(f'checkpoint {source} fits the model; of the checkpoint\'s tensors, {extra}', 'current',
                  logging.WARNING)


def _check_finite(model: nn.Module, source: str) -> None:
    if broken := [name for name, weight in model.named_parameters() if not weight.isfinite().all()]:
        raise UserError(f'checkpoint {source} has values that are not finite, '
                        f'{"first " * (len(broken) > 1)}in {broken[0]}: give an earlier checkpoint, because training '
                        'has diverged')


def _list(names: list[str], fault: str) -> str:
    return f'{len(names)} {"is" if len(names) == 1 else "are"} {fault}, {"first " * (len(names) > 1)}{names[0]}'
