"""Short token table of the shipped toy CLIPs: only the rows of the words that they were trained on."""
import torch
from torch import nn

_TABLE = 'token_embedding.weight'
IDS, ROWS = 'token_embedding.ids', 'token_embedding.rows'


def expand_token_table(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Replace ``token_embedding.ids``, (N,) int64, and ``.rows``, (N, width), by the table (vocabulary, width).

    Other tokens get zeros. A state dict without these entries is returned unchanged.
    """
    if IDS not in state:
        return state
    state = dict(state)
    ids, rows = state.pop(IDS), state.pop(ROWS)
    table = rows.new_zeros(model.token_embedding.weight.shape)
    table[ids] = rows
    return {**state, _TABLE: table}


def keep_tokens(model: nn.Module, ids: torch.Tensor) -> None:
    """Reduce the token table of a model to the trainable rows ``ids``, (N,) int64, which renumbers the tokens."""
    rows = model.token_embedding.weight[ids].detach()
    model.token_embedding = nn.Embedding.from_pretrained(rows, freeze=False)


def compact_state(model: nn.Module, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the state dict that :func:`expand_token_table` reads, in half precision.

    Args:
        model (nn.Module): Model after :func:`keep_tokens`.
        ids (torch.Tensor): Ids of its tokens in CLIP's vocabulary, (N,) int64.
    """
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    state[ROWS] = state.pop(_TABLE)
    return {name: value.contiguous() for name, value in {IDS: ids, **state}.items()}
