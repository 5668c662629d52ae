"""The commands that convert masks and that choose a threshold, called as scripts call them."""
import sys

import pytest
from fixtures.builders import CONFIGS
from fixtures.refusals import refused
from fixtures.tools import load_tool
from fixtures.trees import write_ade20k_full, write_coco_pixel_maps, write_context_mat, write_voc

from mmseg_mvp.datasets.conversion.ade20k_ids import OBJECT_IDS
from mmseg_mvp.vocabularies import load_vocabulary


def write_ade(folder):
    return write_ade20k_full(folder, OBJECT_IDS, [', '.join(words) for words in load_vocabulary('ade20k_847').values()])


CONVERTERS = dict(coco_object=(write_coco_pixel_maps, 'val2017', 'annotations/val2017/*_instanceTrainIds.png'),
                  pascal_context459=(write_context_mat, 'val', 'SegmentationClassContext459/*.png'),
                  ade20k_full=(write_ade, 'validation', 'annotations_detectron2/validation/*.tif'))


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs the main job of a tool with arguments and returns the printed text."""
    def call(tool, *args):
        module = load_tool(tool)
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        module.main()
        return capsys.readouterr().out
    return call


@pytest.mark.parametrize('name', CONVERTERS)
def test_masks_are_converted_once(name, call, tmp_path):
    write, split, pattern = CONVERTERS[name]
    root, tool = write(tmp_path), f'dataset_converters/{name}.py'
    assert '4 images converted, 0 existed.' in call(tool, root, '--splits', split, '--nproc', 1)
    before = {path: path.read_bytes() for path in root.glob(pattern)}
    assert len(before) == 4
    assert '0 images converted, 4 existed.' in call(tool, root)
    assert before == {path: path.read_bytes() for path in root.glob(pattern)}
    refused(lambda: call(tool, root, '--nproc', 0), '--nproc')
    refused(lambda: call(tool, tmp_path / 'absent'), 'absent')


@pytest.mark.slow
def test_a_threshold_is_printed_as_an_option(call, tiny_vit, tmp_path, monkeypatch):
    write_voc(tmp_path / 'data', train=2, aug=0, val=1)
    monkeypatch.chdir(tmp_path)
    options = [f'model.clip.model={tiny_vit["model"]}', 'model.clip.weights=None', 'choose_dataloader.num_workers=0',
               'model.decode_head.prompts.templates=name']
    tool, config = 'analysis_tools/choose_threshold.py', CONFIGS / 'training_free' / 'voc21_clearclip.py'
    said = call(tool, config, '--cfg-options', *options)
    assert 'mIoU on 2 images' in said and 'Best: --cfg-options model.test_cfg.prob_thd=0.' in said
    refused(lambda: call(tool, config, '--images', 0, '--cfg-options', *options), '--images')
    refused(lambda: call(tool, CONFIGS / 'training_free' / 'voc20_naclip.py'), 'prob_thd')
    refused(lambda: call(tool, CONFIGS / 'maskclip' / 'voc_zs.py'), 'choose_dataloader')
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='choose_dataloader.*is missing'):
        call(tool, config)
