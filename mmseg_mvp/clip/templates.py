"""Sentence templates for class names, for a CLIP without learned prompts."""
from collections.abc import Sequence

from open_clip import OPENAI_IMAGENET_TEMPLATES

from mmseg_mvp.errors import UserError

# MaskCLIP adds five sentences about scenes to the 80 ImageNet templates of OpenAI.
SCENE_TEMPLATES = ('there is a {} in the scene.', 'there is the {} in the scene.', 'this is a {} in the scene.',
                   'this is the {} in the scene.', 'this is one {} in the scene.')
TEMPLATE_SETS = {
    'imagenet': tuple(template('{}') for template in OPENAI_IMAGENET_TEMPLATES),
    'maskclip': tuple(template('{}') for template in OPENAI_IMAGENET_TEMPLATES) + SCENE_TEMPLATES,
    'single': ('a photo of a {}.', ),
    'name': ('{}', ),
}


def resolve_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Return a template set (``'maskclip'``, ``'imagenet'``, ``'single'``, ``'name'``), or check custom sentences.

    Raises:
        UserError: If the set is unknown, the list is empty or has the wrong type, or a sentence does not have exactly
            one ``{}`` for the class name.
    """
    if isinstance(templates, str):
        if templates not in TEMPLATE_SETS:
            raise UserError(f"There is no template set '{templates}': expected one of {', '.join(TEMPLATE_SETS)}, or a "
                            f"list of sentences with '{{}}' for the class name.")
        return TEMPLATE_SETS[templates]
    if not isinstance(templates, Sequence):
        raise UserError(f'The templates are {templates!r}: expected the name of a set, or a list of sentences.')
    wrong = [template for template in templates if not isinstance(template, str) or template.count('{}') != 1
             or {*'{}'} & {*template.replace('{}', '')}]  # str.format would interpret single braces
    if wrong or not templates:
        raise UserError(f"The templates {wrong or list(templates)} can't be used: expected at least one sentence, each "
                        f"with exactly one '{{}}' for the class name; correct them.")
    return tuple(templates)
