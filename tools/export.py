"""Export a model: python tools/export.py CONFIG [CHECKPOINT] --format FORMAT --out FILE [--classes NAMES]; see --help.

mmseg       NAME.pth and NAME.py that run in MMSegmentation alone, for a fixed list of classes
onnx        the whole model, from images to label maps, for a fixed list of classes or, with --open-vocabulary, for any
embeddings  text embeddings of a list of classes as NAME.npz, for an ONNX file with an open vocabulary
prompts     learned prompts as NAME.safetensors, for mmseg_mvp.apis.load_prompts and from_pretrained
"""
import argparse
import sys

try:
    from mmseg_mvp import apis, app
    from mmseg_mvp.apis.example_embedding import kept_embeddings, read_classes
    from mmseg_mvp.apis.export import check_onnx, difference
    from mmseg_mvp.apis.export.common import as_json
    from mmseg_mvp.apis.export.input_size import hint, input_size
    from mmseg_mvp.apis.method_name import method_name
    from mmseg_mvp.apis.model_check import prepare_model
    from mmseg_mvp.checkpoints import checkpoints_as_data
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.models import OpenVocabEncoderDecoder, find_text_head
    from mmseg_mvp.utils.files import check_new_file
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS

from mmseg_mvp.utils.without_cuda import replace_sync_bn

FORMATS = ('mmseg', 'onnx', 'embeddings', 'prompts')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a shipped config such as maskclip/voc_zs')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; omitted: the model as built')
    parser.add_argument('--format', choices=FORMATS, required=True)
    parser.add_argument('--out', metavar='FILE', required=True, help='new file')
    parser.add_argument('--classes', metavar='NAMES',
                        help='comma-separated names ("red house, tree, sky"), a file of class names (text, '
                             'JSON, YAML, CSV), or a label set such as ade20k (default: the config\'s test classes)')
    app.add_example_arguments(parser)
    parser.add_argument('--no-gpr', action='store_true', help='export without Global Prompt Refining')
    parser.add_argument('--opset', type=int, default=17, help='onnx: operator set version (default: %(default)s)')
    parser.add_argument('--scores', action='store_true', help='onnx: also return the logits')
    parser.add_argument('--open-vocabulary', action='store_true', help='onnx: make the text embeddings an input')
    parser.add_argument('--shape', type=int, nargs=3, metavar=('BATCH', 'HEIGHT', 'WIDTH'),
                        help='onnx: fixed input shape (default: dynamic)')
    parser.add_argument('--cfg-options', nargs='+', action=app.OptionsAction, metavar='KEY=VALUE', default={},
                        help='override settings of the config')
    app.add_trust_argument(parser)
    parser.set_defaults(work_dir=None, launcher='none', local_rank=0)
    return parser.parse_args()


def check_flags(args: argparse.Namespace) -> None:
    """Check the flags before the model is built.

    Raises:
        UserError: If a flag of --format onnx is set for another format, its value is invalid, or --format prompts has
            --examples.
    """
    given = [name for name in ('scores', 'open_vocabulary', 'shape') if getattr(args, name)]
    if args.format == 'onnx':
        check_onnx(args.opset)
    elif given:
        raise UserError(f'--{given[0].replace("_", "-")} belongs to --format onnx, not to {args.format}; omit it')
    if args.examples and args.format == 'prompts':
        raise UserError('--examples belongs to exports of classes, but prompts are for any classes: omit it')
    if args.shape and min(args.shape) < 1:
        raise UserError(f'--shape {" ".join(map(str, args.shape))}: batch, height and width must be at least 1')


def build(cfg, args: argparse.Namespace):
    """Build the model in eval mode on the CPU, with its checkpoint and the requested classes.

    Raises:
        UserError: If the model can't take other classes, or has no GPR to remove.
    """
    init_default_scope('mmseg')
    replace_sync_bn(cfg)
    for note in prepare_model(cfg):
        print(note, file=sys.stderr)
    model = MODELS.build(cfg.model).eval()
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint, map_location='cpu')
    elif learned := [name for name, parameter in model.named_parameters() if parameter.requires_grad]:
        print(f'No checkpoint was given, so {len(learned)} parameters are exported with their initial, untrained '
              f'values, such as {learned[0]}.', file=sys.stderr)
    if args.classes or args.examples:
        if not isinstance(model, OpenVocabEncoderDecoder):
            raise UserError(f'{type(model).__name__} takes no other classes: set model.type to '
                            f'OpenVocabEncoderDecoder or CLIPEncoderDecoder, or omit --classes')
        set_classes(model, args)
    if args.no_gpr:
        remove_gpr(model)
    return model


def set_classes(model, args: argparse.Namespace) -> None:
    """Replace the classes by those of --classes and --examples."""
    if args.examples:
        classes = app.read_class_arguments(args)
        model.set_classes(*read_classes(model, classes, args.example_weight, kept_embeddings))
    else:
        model.set_classes(args.classes)


def remove_gpr(model) -> None:
    """Remove Global Prompt Refining from the decode head.

    Raises:
        UserError: If the head has no GPR.
    """
    head = find_text_head(model)
    if head is None or head.gpr is None:
        raise UserError(f'--no-gpr: {type(model).__name__} has no GPR to remove; omit the flag')
    head.gpr = None


def export(cfg, model, args: argparse.Namespace) -> None:
    """Write the file and print a summary."""
    print(f'Model: {method_name(model)}.')
    if args.format == 'prompts':
        apis.save_prompts(model, args.out)
    elif args.format == 'embeddings':
        apis.save_embeddings(model, args.out)
    elif args.format == 'onnx':
        export_onnx(cfg, model, args)
    else:
        same = apis.export_native(cfg, model, args.out)
        reason = difference(model)
        print(f'{100 * same:.2f} % of the labels of random images equal those of the model'
              f'{f", because {reason}" if reason else ""}.')
    print(f'Written to {args.out}.')


def export_onnx(cfg, model, args: argparse.Namespace) -> None:
    """Write the ONNX file with the size that its input needs, and print it."""
    rule = input_size(cfg, args.shape)
    apis.export_onnx(model, args.out, args.opset, args.scores, args.open_vocabulary,
                     args.shape and tuple(args.shape), input_size=as_json(rule))
    print(f'The results of file and model agree on random images. {hint(rule)}')
    if model.test_cfg.mode == 'slide':
        print(f'The config slides windows of {model.test_cfg.crop_size} pixels over the image, but the file takes it '
              f'as a whole: its labels are those of model.test_cfg.mode=whole.')


def main() -> None:
    args = parse_args()
    cfg = app.load_config(args)
    check_new_file(args.out)
    if args.checkpoint:
        app.check_checkpoint(args.checkpoint)
    check_flags(args)
    with checkpoints_as_data(args.trust_checkpoint):
        export(cfg, build(cfg, args), args)


if __name__ == '__main__':
    with app.user_errors():
        main()
