"""Curves from logs that mmengine itself writes, and the picture of them."""
import json

import numpy as np
import pytest
from mmengine.visualization import LocalVisBackend

from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization.curves import draw_curves
from mmseg_mvp.visualization.scalars import default_keys, read_runs

ORANGE, SKY_BLUE = (230, 159, 0), (86, 180, 233)


def write_log(folder, records):
    """A log as a Runner leaves it: the backend of mmengine appends one line a record."""
    backend = LocalVisBackend(save_dir=str(folder / 'vis_data'))
    for step, values in records:
        backend.add_scalars(dict(values, step=step))
    return folder / 'vis_data' / 'scalars.json'


def training(step, loss):
    parts = {'decode.loss_seg': loss / 2, 'decode.tau_1': 4.}
    return step, dict(lr=0.1, data_time=0.01, loss=loss, **parts, time=0.2, iter=step)


def validation(step, hiou):
    return step, dict(mIoU=50., mIoU_S=hiou + 1, mIoU_U=hiou - 1, hIoU=hiou, data_time=0.01, time=0.1)


def test_a_run_is_read(tmp_path):
    write_log(tmp_path / 'voc' / '20260101_000000', [training(50, 2.), training(100, 1.), validation(100, 30.)])
    runs = read_runs(tmp_path / 'voc')
    assert runs == {'voc': {
        'loss': {50: 2., 100: 1.}, 'decode.loss_seg': {50: 1., 100: 0.5}, 'decode.tau_1': {50: 4., 100: 4.},
        'mIoU': {100: 50.}, 'mIoU_S': {100: 31.}, 'mIoU_U': {100: 29.}, 'hIoU': {100: 30.}}}
    file = tmp_path / 'voc' / '20260101_000000' / 'vis_data' / 'scalars.json'
    assert read_runs(file) == runs
    assert list(read_runs(file.rename(tmp_path / 'my log.json'))) == ['my log']
    assert default_keys(runs) == ['loss', 'decode.loss_seg', 'mIoU_S', 'mIoU_U', 'hIoU']


def test_without_unseen_classes_other_metrics_are_drawn():
    assert default_keys({'a': {'loss': {1: 1.}, 'mIoU': {1: 1.}, 'FBIoU': {1: 1.}, 'decode.acc_seg': {1: 1.}}}) == [
        'loss', 'mIoU', 'FBIoU']


def test_a_resumed_run_is_one_and_counts_as_it_was_done_last(tmp_path):
    write_log(tmp_path / '1', [training(50, 9.), training(100, 8.), validation(100, 1.), training(150, 7.),
                               validation(150, 1.)])
    write_log(tmp_path / '2', [training(150, 6.), validation(150, 2.), training(200, 5.)])
    (curves, ) = read_runs(tmp_path).values()
    assert curves['loss'] == {50: 9., 100: 8., 150: 6., 200: 5.}
    assert curves['hIoU'] == {100: 1., 150: 2.}


def test_training_anew_is_another_run(tmp_path):
    folder = tmp_path / 'toy'
    write_log(folder / '1', [training(50, 9.), training(100, 8.), training(50, 7.), training(100, 6.)])
    write_log(folder / '2', [training(50, 5.)])
    runs = read_runs(folder)
    assert {name: list(curves['loss'].values()) for name, curves in runs.items()} == {
        'toy (1)': [9., 8.], 'toy (2)': [7., 6.], 'toy (3)': [5.]}


def test_tests_and_lines_that_are_not_finished_count_for_nothing(tmp_path):
    file = write_log(tmp_path / 'a', [training(50, 2.), (0, dict(hIoU=99.))])
    with file.open('a') as log:
        log.write('{"loss": 1.0, "st')
    assert list(read_runs(file).values()) == [{'loss': {50: 2.}, 'decode.loss_seg': {50: 1.}, 'decode.tau_1': {50: 4.}}]


@pytest.mark.parametrize('content, message', [
    ('', 'has no value to draw'),
    ('{"hIoU": 50.0, "step": 0}\n', 'has no value to draw'),
    ('{"loss": 1}\n[1]\n{}\n', 'Line 2 of .* is no record'),
    ('loss = 3\n', 'Line 1 of .* is no record')])
def test_logs_without_values(tmp_path, content, message):
    (tmp_path / 'scalars.json').write_text(content)
    with pytest.raises(UserError, match=message):
        read_runs(tmp_path / 'scalars.json')


def test_logs_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match='holds no vis_data/scalars.json'):
        read_runs(tmp_path)
    with pytest.raises(UserError, match='can\'t be read .FileNotFoundError.'):
        read_runs(tmp_path / 'nowhere.json')


def pixels(picture, colour):
    """(row, column) of the pixels of a colour."""
    return np.argwhere((picture == colour).all(-1))


def test_lines_go_where_the_values_go():
    steps = range(10, 200, 10)
    falling, rising = {step: 200. - step for step in steps}, {step: float(step) for step in steps}
    picture = draw_curves({'one': dict(loss=falling), 'two': dict(loss=rising)}, ['loss'])
    picture = picture[:-60]  # without the legend
    for colour, sign in ((ORANGE, 1), (SKY_BLUE, -1)):  # rows count downwards
        rows, columns = pixels(picture, colour).T
        assert np.corrcoef(rows, columns)[0, 1] * sign > 0.99


def test_each_quantity_has_a_panel_and_a_run_without_it_no_line():
    runs = {'one': dict(loss={10: 1., 20: 2.}, hIoU={20: 40.}), 'two': dict(loss={10: 2., 20: 1.})}
    picture = draw_curves(runs, ['loss', 'hIoU'])[:-60]
    middle = picture.shape[1] // 2
    assert len(pixels(picture[:, middle:], ORANGE)) > 5, 'a value alone is a dot'
    assert len(pixels(picture[:, :middle], SKY_BLUE)) > 50 and not len(pixels(picture[:, middle:], SKY_BLUE))


def test_many_panels_wrap():
    runs = {'one': {f'loss_{number}': {10: 1., 20: 2.} for number in range(6)}}
    assert draw_curves(runs, list(runs['one'])).shape[0] > 1.7 * draw_curves(runs, ['loss_1']).shape[0]


def test_a_quantity_that_nobody_logged():
    with pytest.raises(UserError, match='no values of accuracy: expected some of loss'):
        draw_curves({'one': dict(loss={10: 1.})}, ['accuracy'])
    with pytest.raises(UserError, match='no values of any loss or metric'):
        draw_curves({'one': dict(speed={10: 1.})}, [])


def test_not_a_number_is_a_gap(tmp_path):
    file = tmp_path / 'scalars.json'
    file.write_text('\n'.join(json.dumps(dict(loss=loss, step=step))
                              for step, loss in ((1, 1.), (2, float('nan')), (3, 2.))))
    runs = read_runs(file)
    assert draw_curves(runs, ['loss']).dtype == np.uint8
