"""Open a web page that segments images by names: python tools/app.py [--checkpoint FILE]; see --help."""
import argparse
import sys

try:
    from mmseg_mvp import cli
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host,web]" -c requirements/tested.txt')
except ValueError as error:  # a HostError, which names the missing package and the pip line itself
    sys.exit(f'error: {error}')

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.images import MAX_PIXELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Open a web page that segments images by names')
    parser.add_argument('--config', help='config file; without it and without a checkpoint: MaskCLIP')
    parser.add_argument('--checkpoint', help='what was learned; its own config is taken where none is given')
    parser.add_argument('--clip', metavar='MODEL:WEIGHTS',
                        help='CLIP in the place of the config\'s, such as RN50-quickgelu:RN50.pt or toy-rn:toy '
                             '(MaskCLIP without a config: ViT-B-16-quickgelu:openai)')
    parser.add_argument('--host', default='127.0.0.1',
                        help='address to listen on (default: %(default)s, which keeps other machines out)')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: the best that there is)')
    parser.add_argument('--max-pixels', type=int, default=MAX_PIXELS, metavar='N',
                        help='refuse larger images (default: %(default)s)')
    parser.add_argument('--max-upload-mb', type=float, default=20, metavar='MB',
                        help='refuse larger files (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        from mmseg_mvp.apis.web_server import check_address, serve
    except ImportError as error:
        raise UserError(f'{error}, which the page needs: in the checkout, run: pip install -e ".[host,web]" -c '
                        f'requirements/tested.txt') from error
    if args.max_upload_mb <= 0:
        raise UserError(f'--max-upload-mb is {args.max_upload_mb}, so that no file would fit: give a positive number')
    check_address(args.host, args.port)
    name, _, weights = (args.clip or '').partition(':')
    if args.clip and not (name and weights):
        raise UserError(f'--clip {args.clip} is not MODEL:WEIGHTS, such as ViT-B-16-quickgelu:openai or toy-rn:toy')
    seg = OpenVocabInferencer(args.config, args.checkpoint, args.device,
                              dict(model=name, weights=weights) if args.clip else None, args.max_pixels)
    serve(seg, args.host, args.port, args.max_upload_mb)


if __name__ == '__main__':
    with cli.user_errors():
        main()
