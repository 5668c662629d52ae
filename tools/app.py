"""Open a web page that segments images by names: python tools/app.py [--checkpoint FILE]; see --help."""
import argparse
import math
import sys

try:
    from mmseg_mvp import app
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.host import extra_advice
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host,web]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Open a web page that segments images by names')
    app.add_model_arguments(parser)
    parser.add_argument('--host', default='127.0.0.1',
                        help='address to listen on (default: %(default)s, which keeps other machines out)')
    parser.add_argument('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: the best device available)')
    parser.add_argument('--max-upload-mb', type=float, default=20, metavar='MB',
                        help='refuse larger files (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        from mmseg_mvp.app.web.server import check_address, serve
    except ImportError as error:
        raise UserError(f'{error}, which the page needs: {extra_advice("web")}') from error
    if not 0 < args.max_upload_mb < math.inf:
        raise UserError(f'--max-upload-mb is {args.max_upload_mb}, but it must be above 0: give a size in MB')
    check_address(args.host, args.port)
    serve(app.build_inferencer(args, args.device), args.host, args.port, args.max_upload_mb)


if __name__ == '__main__':
    with app.user_errors():
        main()
