"""Write the tables of benchmarks/README.md from the CSVs: python benchmarks/report.py."""
import csv
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
START, END = '<!-- tables: written by benchmarks/report.py -->', '<!-- end of tables -->'
HEADER = ['claim', 'case', 'variant', 'time', 'speedup', 'memory', 'memory ratio', 'error', 'bar', 'met?']


class Bar(NamedTuple):
    """Required figures of the variant ``'ours'``; None sets no requirement."""
    speedup: float | None = None
    memory_ratio: float | None = None
    peak_mib: float | None = None
    error: float | None = None

    def __str__(self) -> str:
        demands = [('>= {:g}x', self.speedup), ('<= 1/{:g} of the memory', self.memory_ratio and 1 / self.memory_ratio),
                   ('<= {:g} MiB', self.peak_mib), ('error <= {:g}', self.error)]
        return ', '.join(form.format(value) for form, value in demands if value is not None)

    def is_met(self, row: dict[str, str]) -> bool:
        """Return True if a row of a CSV meets all requirements; a missing figure meets none."""
        demands = [(self.speedup, row['speedup'], 1), (self.memory_ratio, row['memory_ratio'], -1),
                   (self.peak_mib, row['peak_mib'], -1), (self.error, row['error'], -1)]
        return all(found != '' and sign * (float(found) - bar) >= 0 for bar, found, sign in demands if bar is not None)


DENSE_VARIANTS = ('sclip', 'clearclip', 'kk', 'naclip', 'segearth', 'resclip')
# Bars by claim and case, for the CPU with float32. Bars without a measurement have a table of their own.
BARS = {
    ('text tower', 'C=150, k+1=4, M=16'): Bar(speedup=20, memory_ratio=1 / 15, error=1e-4),
    ('text tower, embeddings', 'C=150, k+1=4, M=16'): Bar(error=1e-5),
    ('text tower', 'C=847, k+1=4, M=16'): Bar(peak_mib=1536),
    ('loss', 'C=150, B=1'): Bar(speedup=8, memory_ratio=1 / 15, error=1e-5),
    ('loss', 'C=847, B=1'): Bar(speedup=8, memory_ratio=1 / 15, error=1e-5),
    ('loss against cross-entropy', 'C=15, B=4'): Bar(speedup=1),
    ('label map', 'C=150'): Bar(speedup=8, memory_ratio=1 / 12, error=0),
    ('label map', 'C=847'): Bar(speedup=8, memory_ratio=1 / 12, error=0),
    ('refined logits', 'C=150'): Bar(speedup=1, memory_ratio=1 / 10, error=1e-5),
    ('refined label map', 'C=150'): Bar(speedup=1, memory_ratio=1 / 10, error=1e-5),
    **{('dense variant', f'{name}, B=1'): Bar(error=1e-5) for name in DENSE_VARIANTS},
    **{('dense variant and MaskCLIP', f'{name}, B=1'): Bar(speedup=1 / 1.1) for name in DENSE_VARIANTS},
    ('many names', '10000 names'): Bar(peak_mib=1024),
    ('views', 'k=8 against k=1'): Bar(speedup=1 / 1.05),
    ('fusion', 'iteration, k=3, C=150'): Bar(speedup=1 / 1.15),
    ('fusion', 'inference, k=3, C=150'): Bar(speedup=1 / 1.15),
    # The bar was set for 156 classes, but the peer does not fit into 24 GiB there.
    ('iteration', 'ViT-B/16, B=2, C=110, k+1=4'): Bar(speedup=8, memory_ratio=1 / 10),
    ('feature bank', 'ViT-B/16, B=2, C=15, k+1=4'): Bar(speedup=5, memory_ratio=1, error=1e-3),
    ('teacher in an iteration', 'toy, B=16'): Bar(speedup=0.65),
    ('teacher in an iteration', 'RN50 teacher, R101 DeepLabV2, 512x512, B=1'): Bar(speedup=0.65),
    ('text in an evaluation', 'ViT-B/32, 150 labels, 512x683, 4 windows'): Bar(speedup=0.98),
    ('slide inference', 'C=847, 512x683'): Bar(speedup=1, memory_ratio=1 / 10),
}
UNMEASURED = dict.fromkeys(('seconds', 'speedup', 'peak_mib', 'memory_ratio', 'error'), '')


def read(folder: Path) -> list[dict[str, str]]:
    """Read all rows of all CSVs in a folder."""
    rows = []
    for path in sorted(folder.glob('*.csv')):
        with open(path, newline='') as file:
            rows += csv.DictReader(file)
    return rows


def tables(rows: list[dict[str, str]]) -> str:
    """Return one Markdown table per device, dtype and machine, and one of the bars that no machine measured."""
    def key(row):
        # CPU with float32 first, since the bars apply to it.
        return row['device'] != 'cpu', row['device'], row['dtype'] != 'float32', row['dtype'], row['machine']

    parts = []
    for _, group in groupby(sorted(rows, key=key), key):
        group = list(group)
        parts += [_title(group), '', _table(group, _bars(group[0])), '']
    measured = {(row['claim'], row['case']) for row in rows if row['variant'] == 'ours' and _bars(row)}
    missing = [dict(UNMEASURED, claim=claim, case=case, variant='ours') for claim, case in BARS
               if (claim, case) not in measured]
    if missing:
        parts += ['### Bars without a measurement', '', _table(missing, BARS)]
    return '\n'.join(parts).rstrip()


def _bars(row: dict[str, str]) -> dict:
    return BARS if (row['device'], row['dtype']) == ('cpu', 'float32') else {}


def _title(rows: list[dict[str, str]]) -> str:
    def values(column):
        return ' or '.join(sorted({row[column] for row in rows}))

    where = f'{values("threads")} threads' if rows[0]['device'] == 'cpu' else rows[0]['device']
    versions = ', '.join(f'{name} {values(name)}' for name in ('python', 'torch', 'mmseg', 'open_clip'))
    return f'### {rows[0]["machine"]}, {where}, {rows[0]["dtype"]}\n\n{versions}; {values("date")}.'


def _table(rows: list[dict[str, str]], bars: dict) -> str:
    lines = [' | '.join(HEADER), '|'.join(['---'] * len(HEADER))]
    for row in rows:
        bar = bars.get((row['claim'], row['case'])) if row['variant'] == 'ours' else None
        lines.append(' | '.join(_cells(row, bar)))
    return '\n'.join(f'| {line} |' for line in lines)


def _cells(row: dict[str, str], bar: Bar | None) -> list[str]:
    met = '' if bar is None else 'yes' if bar.is_met(row) else '**no**' if row['seconds'] else '**not measured**'
    return [row['claim'], row['case'], row['variant'], _seconds(row), _form(row['speedup'], '{:.2f}x'),
            _form(row['peak_mib'], '{:.0f} MiB'), _ratio(row['memory_ratio']), _form(row['error'], '{:.1e}'),
            str(bar or ''), met]


def _form(value: str, form: str) -> str:
    return form.format(float(value)) if value else ''


def _seconds(row: dict[str, str]) -> str:
    value = row['seconds']
    if not value:
        return '' if row['error'] else 'not run'
    return f'{float(value):.2f} s' if float(value) >= 1 else f'{float(value) * 1e3:.3g} ms'


def _ratio(value: str) -> str:
    if not value or float(value) <= 0:
        return ''
    return f'1/{1 / float(value):.3g}' if float(value) < 1 else f'{float(value):.3g}'


def main(results: Path = ROOT / 'benchmarks' / 'results', page: Path = ROOT / 'benchmarks' / 'README.md') -> None:
    text = page.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f'{before}{START}\n{tables(read(results))}\n{END}{after}')


if __name__ == '__main__':
    main()
