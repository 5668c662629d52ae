"""The table of the toy world in README.md, from the CSVs of the studies; each study writes it at its end."""
import csv
import statistics
from pathlib import Path

import tables

COLUMNS = {'mIoU(S)': 'mIoU_S', 'mIoU(U)': 'mIoU_U', 'hIoU': 'hIoU'}
ABLATION = 'toy_ablation.csv', {'clip': '0'}  # the shipped CLIP
# Row: CSV, filter, and row of the CSV.
ROWS = {
    'MaskCLIP (no training)': (*ABLATION, 'templates'),
    'MVP-SEG, one prompt of as many context vectors as three': (*ABLATION, 'k=1, M=18 + GPR'),
    'MVP-SEG, as printed in the paper': (*ABLATION, 'k=3, M=6, sum, OCLoss + GPR'),
    'MVP-SEG, three cooperating prompts ([why](docs/toy_ablation.md); {gain:+.1f} over one prompt in nine runs on '
    'three CLIPs)': (*ABLATION, 'k=3, M=6, log-sum-exp + GPR'),
    'LSeg, trained on the masks of the seen classes (`python tools/toy/lseg.py`, [its ablation](docs/toy_lseg.md))':
        ('toy_lseg.csv', {}, 'LSeg without regularization (depth 0)'),
    'MVP-SEG+ (a student of MVP-SEG; `python tools/toy/transfer.py`, [bounds and phases](docs/toy_transfer.md))':
        ('toy_transfer.csv', {}, 'student after phase 2 (MVP-SEG+)'),
}


def read(path: Path, row: str, **conditions: str) -> list[dict[str, str]]:
    """Return the runs of a row in a CSV."""
    with open(path, newline='') as file:
        return [one for one in csv.DictReader(file) if {**conditions, 'row': row}.items() <= one.items()]


def gain(docs: Path) -> float:
    """Return the mean difference of hIoU between three cooperating prompts and one, over the runs of all CLIPs."""
    ours, other = ({(one['clip'], one['seed']): float(one['hIoU']) for one in read(docs / 'toy_ablation.csv', row)}
                   for row in ('k=3, M=6, log-sum-exp + GPR', 'k=1, M=18 + GPR'))
    return statistics.mean(ours[key] - other[key] for key in ours)


def table(docs: Path) -> str:
    """Return the table, from the CSVs in a folder."""
    rows = []
    for title, (name, conditions, row) in ROWS.items():
        runs = read(docs / name, row, **conditions)
        cells = [tables.spread([float(one[key]) for one in runs]) for key in COLUMNS.values()]
        rows.append([title.format(gain=gain(docs)), *cells])
    return tables.markdown(['toy world, split `test`, 3 seeds', *COLUMNS], rows)


def write(docs: Path) -> None:
    """Write the table into the README beside a folder of pages, if there are the README and all CSVs."""
    readme = docs.resolve().parent / 'README.md'
    if readme.exists() and all((docs / name).exists() for name, *_ in ROWS.values()):
        tables.replace(readme, table(docs))
