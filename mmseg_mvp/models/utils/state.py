"""Parameters of checkpoints under former names."""


def rename_key(state_dict: dict, prefix: str, former: str, name: str) -> None:
    """Rename an entry of a state dict, in place, if it has its former name."""
    if f'{prefix}{former}' in state_dict:
        state_dict[f'{prefix}{name}'] = state_dict.pop(f'{prefix}{former}')
