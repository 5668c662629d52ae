"""Tables of the performance page, from rows with known verdicts."""
import csv

import pytest
from fixtures.tools import BENCHMARKS, load_tool


@pytest.fixture(scope='module')
def report():
    return load_tool('report.py', BENCHMARKS)


def row(variant, speedup, memory_ratio, **changes):
    return dict(dict(claim='loss', case='C=150', variant=variant, peer='plain', device='cpu', dtype='float32',
                     threads='2', seconds='0.5', speedup=speedup, peak_mib='300', memory_ratio=memory_ratio,
                     error='1e-7', machine='A CPU', python='3', torch='2', mmseg='1', open_clip='3', date='today'),
                **changes)


def lines_with(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


@pytest.mark.parametrize('speedup, memory_ratio, met', [('8', '0.05', 'yes'), ('7.9', '0.05', '**no**'),
                                                        ('8', '0.1', '**no**'), ('8', '', '**no**')])
def test_a_bar_is_met_when_each_demand_is(report, monkeypatch, speedup, memory_ratio, met):
    monkeypatch.setattr(report, 'BARS', {('loss', 'C=150'): report.Bar(speedup=8, memory_ratio=1 / 15, error=1e-5)})
    plain, ours = lines_with(report.tables([row('plain', '1', '1'), row('ours', speedup, memory_ratio)]), 'loss')
    assert plain.endswith('|  |  |')
    assert ours.endswith(f'| >= 8x, <= 1/15 of the memory, error <= 1e-05 | {met} |')


def test_a_bar_without_a_row_is_shown_as_not_measured(report, monkeypatch):
    monkeypatch.setattr(report, 'BARS', {('label map', 'C=847'): report.Bar(speedup=8)})
    text = report.tables([row('ours', '9', '0.05')])
    assert len(lines_with(text, 'label map', 'not run', '>= 8x', '**not measured**')) == 1


def test_bars_are_for_the_cpu_in_float32_and_each_device_has_its_table(report, monkeypatch):
    monkeypatch.setattr(report, 'BARS', {('loss', 'C=150'): report.Bar(speedup=8)})
    text = report.tables([row('ours', '2', '0.05', device='cuda', machine='A GPU'), row('ours', '9', '0.05')])
    assert text.index('### A CPU, 2 threads, float32') < text.index('### A GPU, cuda, float32')
    assert [line.endswith('| yes |') for line in lines_with(text, 'loss')] == [True, False]
    assert text.count('>= 8x') == 1


def test_the_page_keeps_its_text_around_the_tables(report, tmp_path):
    with open(tmp_path / 'loss.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, row('', '', ''))
        writer.writeheader()
        writer.writerow(row('ours', '9', '0.05'))
    page = tmp_path / 'performance.md'
    page.write_text(f'# Title\n{report.START}\nold\n{report.END}\nDiscussion\n')
    report.main(tmp_path, page)
    text = page.read_text()
    assert text.startswith('# Title\n') and text.endswith('Discussion\n') and 'old' not in text
    assert lines_with(text, '| loss | C=150 | ours | 500 ms | 9.00x | 300 MiB | 1/20 | 1.0e-07 |')


def test_the_page_holds_the_tables_of_the_results(report):
    """Other files in benchmarks/results are ignored."""
    page = (BENCHMARKS.parent / 'docs' / 'performance.md').read_text()
    assert report.tables(report.read(BENCHMARKS / 'results')) in page
