"""Settings of ``model.test_cfg``: checks, and the decision for labels that follows from them."""
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from ..text.text_head import TextHead
from ..utils.decision import Decision

KEYS = ('mode', 'crop_size', 'stride', 'stitch', 'keep_logits', 'refine', 'class_token_weight', 'word_softmax',
        'prob_thd', 'bg_idx', 'area_thd', 'prompt_denoise', 'key_smooth')
# Names of these settings in published code.
_ELSEWHERE = dict(logit_scale='model.decode_head.scale', name_path='model.decode_head.train_classes', pamr='refine',
                  slide_crop='crop_size', slide_stride='stride', threshold='prob_thd', pd_thresh='prompt_denoise',
                  ks_thresh='key_smooth')
_STITCHES = ('features', 'pixels')


class LabelSettings:
    """Mixin of segmentors for ``model.test_cfg``, whose values may change after construction.

    ``bg_idx`` is a label of the classes in the config. With other classes, the background is found by its name.
    """

    def _check_settings(self) -> None:
        """Raise UserError if ``test_cfg`` does not fit the model."""
        self._first_names = list(self._vocabulary())
        self._check_features()
        self._decision()

    def _check_features(self) -> None:
        """Refuse settings that need the features of CLIP."""
        self._refuse('class_token_weight', 'word_softmax', 'prompt_denoise', 'key_smooth')
        if self.test_cfg.get('stitch') == 'features':
            raise UserError(f"{type(self).__name__} stitches windows in pixels, not in features: omit "
                            f"test_cfg.stitch='features', or use CLIPEncoderDecoder.")

    def _refuse(self, *keys: str) -> None:
        for key in keys:
            if self.test_cfg.get(key):
                raise UserError(f'{type(self).__name__} takes no test_cfg.{key}, because it needs the features of '
                                f'CLIP: omit it, or use CLIPEncoderDecoder with CLIPImageEncoder.')

    def _vocabulary(self, meta: dict = {}) -> dict[str, tuple[str, ...]]:
        """Return the test vocabulary of an image; numbers if the head does not classify by text."""
        if isinstance(self.decode_head, TextHead):
            return meta.get('vocabulary') or self.decode_head.classifier.test_vocabulary
        return {str(label): (str(label), ) for label in range(self.num_classes)}

    def _decision(self, meta: dict = {}) -> Decision | None:
        """Return the rule by which the logits of an image become labels."""
        vocabulary, words = self._vocabulary(meta), self.test_cfg.get('word_softmax')
        row_counts = [max(len(wordings), 1) if words else 1 for wordings in vocabulary.values()]  # examples have one
        return decision_of(self.test_cfg, list(vocabulary), row_counts, self._first_names)


def check_test_cfg(test_cfg: Mapping) -> None:
    """Check the keys and values of ``model.test_cfg``.

    Raises:
        UserError: If a key is unknown, with the nearest known one, or a value is not valid.
    """
    for key in test_cfg:
        if key not in KEYS:
            nearest = _ELSEWHERE.get(key) or get_close_matches(str(key), KEYS, n=1, cutoff=0)[0]
            raise UserError(f'model.test_cfg has no setting {key!r}: write {nearest!r} if that is meant, or remove it; '
                            f'the settings are {", ".join(KEYS)}.')
    for key in ('keep_logits', 'word_softmax'):
        if not isinstance(test_cfg.get(key, False), (bool, type(None))):
            raise UserError(f'model.test_cfg.{key} is {test_cfg[key]!r}: expected True or False.')
    if test_cfg.get('stitch') not in (None, *_STITCHES):
        raise UserError(f"model.test_cfg.stitch is {test_cfg['stitch']!r}: expected one of {', '.join(_STITCHES)}.")
    _check_windows(test_cfg)
    _check_thresholds(test_cfg)


def _check_windows(test_cfg: Mapping) -> None:
    if test_cfg.get('mode') != 'slide':
        return
    for key in ('crop_size', 'stride'):
        sides = test_cfg.get(key)
        if not isinstance(sides, Sequence) or isinstance(sides, str) or len(sides) != 2:
            raise UserError(f'model.test_cfg.{key} is {sides!r}, but windows (mode=\'slide\') need a height and a '
                            f'width in pixels: set it, such as {key}=(224, 224).')
        for side in sides:
            check_number(f'A side of model.test_cfg.{key}', side, least=1, whole=True)
    if any(step > side for step, side in zip(test_cfg['stride'], test_cfg['crop_size'])):
        raise UserError(f'model.test_cfg.stride is {tuple(test_cfg["stride"])}, larger than crop_size='
                        f'{tuple(test_cfg["crop_size"])}, so windows would leave gaps: set a smaller stride.')


def _check_thresholds(test_cfg: Mapping) -> None:
    for key in ('prompt_denoise', 'key_smooth'):
        if test_cfg.get(key) is not None:
            check_number(f'model.test_cfg.{key}', test_cfg[key], least=0, most=1)
    for key in ('prob_thd', 'area_thd'):
        if test_cfg.get(key) is None:
            continue
        check_number(f'model.test_cfg.{key}', test_cfg[key], least=0, most=1)
        if test_cfg.get('bg_idx') is None:
            raise UserError(f'model.test_cfg.{key} is set, but not the label of the background that such pixels get: '
                            f'set bg_idx, such as bg_idx=0, or {key}=None.')
    if test_cfg.get('bg_idx') is not None:
        check_number('model.test_cfg.bg_idx', test_cfg['bg_idx'], least=0, whole=True)


def decision_of(test_cfg: Mapping, names: Sequence[str], row_counts: Sequence[int],
                first_names: Sequence[str]) -> Decision | None:
    """Return the rule by which the scores of an image become labels; None for the class with the highest logit.

    Args:
        test_cfg (Mapping): ``model.test_cfg``.
        names (Sequence[str]): Classes of the image.
        row_counts (Sequence[int]): Rows of the scores of each class.
        first_names (Sequence[str]): Classes of the config, for which ``bg_idx`` is given.

    Raises:
        UserError: If a setting is not valid, or the classes lack the background.
    """
    prob_thd, area_thd = test_cfg.get('prob_thd'), test_cfg.get('area_thd')
    if not prob_thd and area_thd is None:
        return Decision(tuple(row_counts)) if test_cfg.get('word_softmax') else None
    _check_thresholds(test_cfg)
    index, key = test_cfg['bg_idx'], 'prob_thd' if prob_thd else 'area_thd'
    if index >= len(first_names):
        raise UserError(f'model.test_cfg.bg_idx is {index}, but there are {len(first_names)} classes, 0 to '
                        f'{len(first_names) - 1}: set the label of the background.')
    if first_names[index] not in names:
        raise UserError(f'Pixels become {first_names[index]!r} by model.test_cfg.{key}={test_cfg[key]}, but this is '
                        f'not one of the {len(names)} classes: add it to them, or set model.test_cfg.prob_thd and '
                        f'area_thd to None.')
    return Decision(tuple(row_counts), list(names).index(first_names[index]), prob_thd or 0., area_thd)
