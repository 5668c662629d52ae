"""Tokenizers of CLIP models: text to token ids, and the frame of a sentence.

Most models read CLIP's byte pair encoding. SigLIP, SigLIP 2 and MetaCLIP 2 read the vocabulary of a Hugging Face
repository, by ``transformers``. Both kinds give the ids that open_clip's own tokenizer gives.
"""
import hashlib
import os
from collections.abc import Sequence

import huggingface_hub
import open_clip
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer
from packaging.version import Version

from mmseg_mvp.errors import UserError
from mmseg_mvp.host import extra_advice
from mmseg_mvp.utils.reach import unreachable_hub

_FILES = ('config.json', '*token*', '*.model', 'vocab*', 'merges*')
# transformers raises these for damaged files and wrong settings, beside Exception itself.
_DAMAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ImportError, RuntimeError)
# Before transformers 5.2, a folder without config.json may get the tokenizer of a model that its path names.
_LEAST = '5.3'
_WORD = 'a'
_SPACE = '\u2581'  # begins the pieces of SentencePiece that begin a word


class Framed:
    """Frame of a sentence: start tokens, tokens of the text, end tokens, padding.

    Attributes:
        start (tuple[int, ...]): Ids before the text; SigLIP has none.
        end (tuple[int, ...]): Ids after the text.
        pad (int): Id that fills the context.
        filler (int): Id without a role in the frame, for positions that context vectors take.
        context_length (int): Number L of ids of a framed sentence.
    """
    start: tuple[int, ...]
    end: tuple[int, ...]
    pad: int
    filler: int
    context_length: int

    def __deepcopy__(self, memo: dict) -> 'Framed':
        return self

    def frame(self, ids: Sequence[int]) -> list[int]:
        """Return the L ids of a sentence with start and end tokens and padding."""
        framed = [*self.start, *ids, *self.end]
        return framed + [self.pad] * (self.context_length - len(framed))


class BytePairTokenizer(Framed, open_clip.SimpleTokenizer):
    """CLIP's byte pair encoding. Takes the arguments of ``open_clip.SimpleTokenizer``."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.start, self.end, self.pad = (self.sot_token_id, ), (self.eot_token_id, ), 0
        self.filler = self.sot_token_id
        default = kwargs.get('clean', 'lower') == 'lower' and not kwargs.get('additional_special_tokens')
        self.identity = '' if default else f'{kwargs}'

    def encode(self, text: str, inside: bool = False) -> list[int]:
        """Return the ids of a text, without start and end token; a place inside a sentence changes nothing."""
        return super().encode(text)

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each id; a final ``-`` marks an incomplete word."""
        words = (self.decode([token]) for token in ids)
        return [word.strip() if word.endswith(' ') else f'{word}-' for word in words]


class HubTokenizer(Framed, HFTokenizer):
    """Tokenizer of a Hugging Face repository, as open_clip uses it. The frame is found by comparison.

    Args:
        folder (str): Local folder of its files.
        **kwargs: Arguments of open_clip's ``HFTokenizer``: ``context_length``, ``clean``, ``strip_sep_token``, ...

    Attributes:
        identity (str): Hash of vocabulary, frame and cleaning, for the fingerprint of a CLIP.

    Raises:
        ValueError: If sentences have another frame, such as padding on the left.
    """

    def __init__(self, folder: str, **kwargs) -> None:
        super().__init__(folder, **dict(kwargs, trust_remote_code=False))  # no code from the folder is run
        self.vocab_size = len(self.tokenizer)
        self.all_special_ids = sorted({*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()})
        self._find_frame()
        self.identity = self._hash()

    def encode(self, text: str, inside: bool = False) -> list[int]:
        """Return the ids of a text, without start and end tokens.

        Args:
            text (str): Any text.
            inside (bool): True if words precede the text in its sentence. Some vocabularies have other pieces there:
                SigLIP 2 reads ``cat`` at the start of a sentence, and ``_cat`` after a word.
        """
        text = self.clean_fn(text)
        if not inside or not text:
            return self._ids(text)
        both, first = self._ids(f'{_WORD} {text}'), len(self._word)
        return both[first:] if both[:first] == self._word else self._ids(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self.tokenizer.decode(ids)

    def spell(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each id; an initial ``-`` marks the continuation of a word."""
        pieces = self.tokenizer.convert_ids_to_tokens(list(ids))
        return [piece[1:] if piece.startswith(_SPACE) else f'-{piece}' for piece in (piece or '' for piece in pieces)]

    def _ids(self, text: str, **kwargs) -> list[int]:
        ids = self.tokenizer(text, **{'add_special_tokens': False, **kwargs})['input_ids']
        separator = self.tokenizer.sep_token_id if self.strip_sep_token else None
        return [0 if token == separator else token for token in ids]

    def _hash(self) -> str:
        """Return a hash of all that changes ids, except special tokens: they vary by version, and names have none."""
        special = {*self.all_special_ids}
        pieces = sorted((token, piece) for piece, token in self.tokenizer.get_vocab().items() if token not in special)
        probe = self.encode('A photo,\nof  2 cats & dogs.')
        content = (self.start, self.end, self.pad, self.context_length, probe, pieces)
        return hashlib.sha256(f'{content}'.encode()).hexdigest()[:16]

    def _find_frame(self) -> None:
        """Set the frame that ``transformers`` gives a short sentence, and compare it on a longer one."""
        self._word = word = self._ids(_WORD)
        whole = self._ids(_WORD, add_special_tokens=True)
        size = dict(add_special_tokens=True, padding='max_length', truncation=True, max_length=self.context_length)
        padded = self._ids(_WORD, **size)
        first = next((at for at in range(len(whole)) if whole[at:at + len(word)] == word), len(whole))
        self.start, self.end = tuple(whole[:first]), tuple(whole[first + len(word):])
        self.pad, self.filler = padded[-1], word[0]
        longer = f'{_WORD} {_WORD}'
        if (padded, self._ids(longer, **size)) != (self.frame(word), self.frame(self._ids(longer))) \
                or self.tokenizer_mode:
            raise ValueError(f'sentences have another frame than [start] text [end] [padding] in '
                             f'{self.context_length} tokens')


Tokenizer = BytePairTokenizer | HubTokenizer


def build_tokenizer(model: str, text_cfg: dict, given: str | None = None) -> Tokenizer:
    """Build the tokenizer of a CLIP.

    Args:
        model (str): Name of the CLIP, for messages.
        text_cfg (dict): ``text_cfg`` of open_clip's model config.
        given (str, optional): Folder or repository that replaces the one of the config (``clip.tokenizer``).

    Raises:
        UserError: If the extra ``tokenizers`` is missing, the files are missing or damaged, or the settings are not
            those of a tokenizer.
    """
    own = text_cfg.get('hf_tokenizer_name')
    settings = dict(text_cfg.get('tokenizer_kwargs') or {},
                    context_length=text_cfg.get('context_length', DEFAULT_CONTEXT_LENGTH))
    if not own and given:
        raise UserError(f"clip.tokenizer is '{given}', but CLIP '{model}' reads CLIP's byte pair encoding: omit it.")
    if own:
        _check_extra(model)
        settings.update(folder=find_folder(model, given or own), tokenizer_mode=text_cfg.get('tokenizer_mode'))
    try:
        return (HubTokenizer if own else BytePairTokenizer)(**settings)
    except Exception as error:
        if type(error) is not Exception and not isinstance(error, _DAMAGE):
            raise
        reason = (str(error).splitlines() or [''])[0][:200]
        raise UserError(f"The tokenizer '{given or own or settings}' of CLIP '{model}' can't be used "
                        f'({type(error).__name__}: {reason}): expected tokenizer_config.json beside tokenizer.json or '
                        f'a SentencePiece model, and settings of open_clip; download its files again, or set '
                        f'clip.tokenizer to a folder with them.') from error


def _check_extra(model: str) -> None:
    try:
        import sentencepiece  # noqa: F401
        import transformers
        if Version(transformers.__version__) < Version(_LEAST):
            raise ImportError(f'found transformers {transformers.__version__}, expected {_LEAST} or newer')
    except ImportError as error:
        raise UserError(f"The tokenizer of CLIP '{model}' needs transformers and sentencepiece ({error}): "
                        f"{extra_advice('tokenizers')}") from error


def find_folder(model: str, name: str) -> str:
    """Return a folder, or the local copy of a Hugging Face repository, which is downloaded once.

    Raises:
        UserError: If there is no such folder, and no copy of such a repository can be had.
    """
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return path
    reason = unreachable_hub(name)
    try:
        return huggingface_hub.snapshot_download(name, allow_patterns=_FILES, local_files_only=reason is not None)
    except Exception as error:  # the hub client raises various exceptions
        reason = ' '.join((reason or str(error) or type(error).__name__).split())[:200]
        raise UserError(f"The tokenizer of CLIP '{model}' is neither a folder nor in the cache, and the repository "
                        f"'{name}' could not be downloaded ({reason}): check the network, or copy the tokenizer files "
                        f'of {huggingface_hub.constants.ENDPOINT}/{name} to a folder and set clip.tokenizer to its '
                        f'path.') from error
