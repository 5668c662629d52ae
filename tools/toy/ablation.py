"""The ablation of MVP-SEG on the toy world: python tools/toy/ablation.py; writes docs/toy_ablation.md and .csv.

Each run learns prompts with the settings of configs/mvp_seg/toy_zs.py and tests them on the splits `val` and `test`,
under each toy CLIP and each seed of the prompts. CLIP 0 is that of the package, CLIPs 1 and 2 are in tools/toy/clips;
others are trained first, in some 15 minutes each. After a stop, the same command continues. After a change of the code,
name a new --work-dir.
"""
import os
import subprocess
import sys
from pathlib import Path

import cached
import readme
import runs
import tables
from mmengine.runner import Runner
from torch import Tensor

from mmseg_mvp import app
from mmseg_mvp.checkpoints import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / 'tools/toy/clips'
# Limits of the suite `toy` that a CLIP's training in bfloat16 omits: it takes ten times as long with AVX2 alone.
INSTRUCTIONS = 'ATEN_CPU_CAPABILITY', 'ONEDNN_MAX_CPU_ISA', 'MKL_CBWR'
NO_GPR = {'gpr': None, 'loss_presence': None, 'prompts.global_prompt': False}
OC_LOSS = {'': {'loss_oc': None}, ', OCLoss': {'loss_oc.squared': False}, ', squared OCLoss': {'loss_oc.squared': True}}
FUSIONS = {', sum': 'sum', ', log-sum-exp': 'logsumexp'}
OTHER_FUSIONS = {
    'sharpness 10': dict(type='logsumexp', sharpness=10.), 'maximum': dict(type='logsumexp', sharpness=float('inf')),
    'learned sharpness': dict(type='logsumexp', learned=True), 'view dropout': 'logsumexp', 'coverage': 'logsumexp',
}
COVERAGE = 0.1  # weight of the loss
PRINTED = 'k=3, M=6, sum, OCLoss + GPR (printed presence loss)'


def make_rows() -> dict[str, dict | None]:
    """Return the options of ``decode_head`` for each row; None for templates."""
    rows = {'templates': None}
    for k, length in [(1, 6), (1, 18), (2, 6), (2, 9), (3, 6), (5, 6), (5, 4)]:  # k prompts of M context vectors
        for fusion in FUSIONS if k > 1 else ('', ):
            for loss in OC_LOSS if k == 3 else ('', ):
                for gpr in ('', ' + GPR') if k in (1, 3) else (' + GPR', ):
                    rows[f'k={k}, M={length}{fusion}{loss}{gpr}'] = {
                        'prompts.num_prompts': k, 'prompts.context_length': length,
                        'fusion': FUSIONS.get(fusion, 'sum'), **OC_LOSS[loss], **({} if gpr else NO_GPR)}
    rows[PRINTED] = {**rows['k=3, M=6, sum, OCLoss + GPR'], 'loss_presence.form': 'printed'}
    for name, fusion in OTHER_FUSIONS.items():
        for gpr in ('', ' + GPR') if name in ('view dropout', 'coverage') else (' + GPR', ):
            rows[f'k=3, M=6, {name}{gpr}'] = {**rows[f'k=3, M=6, log-sum-exp{gpr}'], 'fusion': fusion}
    return rows


ROWS = make_rows()
# Compared rows, by the question: the first minus the second, of equal CLIP and seed.
PAIRS = [
    ('k=1, M=6', 'templates'), ('k=3, M=6, sum', 'k=1, M=6'), ('k=3, M=6, sum, OCLoss', 'k=3, M=6, sum'),
    ('k=3, M=6, sum, OCLoss + GPR', 'k=3, M=6, sum, OCLoss'), ('k=3, M=6, sum, OCLoss + GPR', 'templates'),
    ('k=3, M=6, sum + GPR', 'k=1, M=6 + GPR'), ('k=3, M=6, sum + GPR', 'k=1, M=18 + GPR'),
    ('k=3, M=6, sum, OCLoss + GPR', 'k=3, M=6, sum + GPR'),
    ('k=3, M=6, sum, squared OCLoss + GPR', 'k=3, M=6, sum + GPR'), (PRINTED, 'k=3, M=6, sum, OCLoss + GPR'),
    ('k=3, M=6, log-sum-exp + GPR', 'k=3, M=6, sum + GPR'), ('k=3, M=6, log-sum-exp + GPR', 'k=1, M=6 + GPR'),
    ('k=3, M=6, log-sum-exp + GPR', 'k=1, M=18 + GPR'),
    ('k=3, M=6, log-sum-exp + GPR', 'k=3, M=6, sum, OCLoss + GPR'),
    ('k=2, M=9, log-sum-exp + GPR', 'k=1, M=18 + GPR'), ('k=5, M=4, log-sum-exp + GPR', 'k=1, M=18 + GPR'),
    ('k=3, M=6, log-sum-exp, OCLoss + GPR', 'k=3, M=6, log-sum-exp + GPR'),
    ('k=3, M=6, log-sum-exp, squared OCLoss + GPR', 'k=3, M=6, log-sum-exp + GPR'),
    ('k=3, M=6, log-sum-exp', 'k=3, M=6, sum'), ('k=3, M=6, log-sum-exp', 'k=1, M=18'),
    *((f'k=3, M=6, {name} + GPR', 'k=3, M=6, log-sum-exp + GPR') for name in OTHER_FUSIONS),
    ('k=3, M=6, view dropout', 'k=1, M=18'), ('k=3, M=6, coverage', 'k=3, M=6, log-sum-exp'),
    ('k=3, M=6, coverage', 'k=1, M=18'),
]


def clip_weights(seed: int, folder: Path) -> str:
    """Return the weights of a toy CLIP; train it in a folder if no file has it."""
    if seed == 0:
        return 'toy'
    shipped, path = CLIPS / f'toy-rn_{seed}.safetensors', folder / f'toy-rn_{seed}.safetensors'
    if shipped.exists():
        return str(shipped)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, ROOT / 'tools/toy/train_clip.py', '--seed', str(seed), '--out', path]
        environment = {key: value for key, value in os.environ.items() if key not in INSTRUCTIONS}
        subprocess.run(command, check=True, env=environment)
    return str(path.resolve())


def build(row: str, clip: int, seed: int, work_dir: Path) -> Runner:
    """Build the runner of a row with one CLIP and one seed of the prompts."""
    options = {f'model.decode_head.{key}': value for key, value in (ROWS[row] or {}).items()}
    options['model.clip'] = dict(model='toy-rn', weights=clip_weights(clip, work_dir))
    method = 'maskclip' if ROWS[row] is None else 'mvp_seg'
    runner = cached.build_runner(runs.read_config(f'{method}/toy_zs', folder(row, clip, seed, work_dir), seed, options))
    if 'view dropout' in row:
        classifier = runner.model.decode_head.classifier
        classifier.fusion = cached.DroppedViews(classifier.fusion.views, 'logsumexp')
    elif 'coverage' in row:
        cached.add_coverage(runner.model.decode_head, weight=COVERAGE)
    return runner


def run(row: str, clip: int, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row; return its metrics on `test` in percent, and ``hIoU_val`` on `val`."""
    runner = build(row, clip, seed, work_dir)
    if ROWS[row] is None:
        chosen = runner.val()['hIoU']
    else:
        runner.train()
        chosen = runner.message_hub.get_scalar('val/hIoU').current()
    return {**runner.test(), 'hIoU_val': float(chosen)}


def context_norms(results: list[dict], work_dir: Path) -> str:
    """Return a table of the norms of the mean context vectors of three prompts after training, least to greatest."""
    clips = sorted({one['clip'] for one in results})
    table = []
    for row in (f'k=3, M=6{fusion}{loss} + GPR' for fusion in FUSIONS for loss in OC_LOSS):
        cells = []
        for clip in clips:
            seeds = [one['seed'] for one in results if one['row'] == row and one['clip'] == clip]
            norms = [float(norm) for seed in seeds
                     for norm in learned_contexts(row, clip, seed, work_dir).mean(dim=1).norm(dim=1)]
            cells.append(f'{min(norms):.2f} to {max(norms):.2f}' if norms else '')
        table.append([row, *cells])
    return tables.markdown(['row', *(f'CLIP {clip}' for clip in clips)], table)


def learned_contexts(row: str, clip: int, seed: int, work_dir: Path) -> Tensor:
    """Return the context vectors of the segmentation prompts of a row with GPR after training, (k, M, width)."""
    checkpoint, = folder(row, clip, seed, work_dir).glob('iter_*.pth')
    contexts = read_checkpoint(str(checkpoint))['state_dict']['decode_head.classifier.prompts.contexts']
    return contexts[1:]  # behind the global prompt


def folder(row: str, clip: int, seed: int, work_dir: Path) -> Path:
    """Return the folder of a run."""
    return work_dir / f'{list(ROWS).index(row)}_{clip}_{seed}'


def page_tables(results: list[dict], work_dir: Path) -> str:
    """Return the tables of the page: each CLIP, differences, and norms of context vectors."""
    clips = sorted({one['clip'] for one in results})
    columns = {f'CLIP {clip}': {'clip': clip} for clip in clips} if len(clips) > 1 else {}
    first = [one for one in results if one['clip'] == clips[0]]
    parts = [f'**CLIP {clips[0]}**', tables.summarize(first)]
    if columns:
        for split, metric in (('val', 'hIoU_val'), ('test', 'hIoU')):
            parts += [f'**hIoU on `{split}` by CLIP**', tables.by_group(results, columns, metric)]
    return '\n\n'.join([*parts, '**Differences of hIoU on `test`, run by run**',
                        tables.differences(results, PAIRS, columns),
                        '**Norms of the mean context vectors of three prompts**', context_norms(results, work_dir)])


def main() -> None:
    parser = runs.arguments('toy_ablation', __doc__)
    parser.add_argument('--clips', type=int, nargs='+', default=[0, 1, 2], help='seeds of the toy CLIPs')
    args = parser.parse_args()
    # Templates are not trained, so all seeds of the prompts give the same figures.
    jobs = [dict(row=row, clip=clip, seed=seed) for clip in args.clips for seed in args.seeds for row in ROWS
            if ROWS[row] is not None or seed == args.seeds[0]]
    results = tables.collect(jobs, lambda **job: run(**job, work_dir=args.work_dir), args.work_dir / 'results.csv')
    order = list(ROWS)
    results.sort(key=lambda one: (order.index(one['row']), one['clip'], one['seed']))
    print(tables.write(results, args.docs / 'toy_ablation.md', page_tables(results, args.work_dir)))
    readme.write(args.docs)


if __name__ == '__main__':
    with app.user_errors():
        main()
