"""tools/export.py: what its arguments lead to, and every mistake in one sentence."""
import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fixtures.exports import maps, toy_images
from mmengine.config import Config
from mmengine.runner.checkpoint import save_checkpoint
from mmseg.apis import init_model
from mmseg.registry import MODELS
from PIL import Image
from safetensors import safe_open

from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene

pytestmark = pytest.mark.usefixtures('mmseg_scope')

ROOT = Path(__file__).parents[2]
TOOL, CONFIGS = ROOT / 'tools' / 'export.py', ROOT / 'configs'
MASKCLIP, MVP_SEG = CONFIGS / 'maskclip' / 'toy_zs.py', CONFIGS / 'mvp_seg' / 'toy_zs.py'


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the tool in a new folder; what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['export.py', *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr()

    return run


@pytest.fixture
def refuse(run, capsys, tmp_path):
    """The sentence of a run that ends with code 2 and leaves no file."""

    def refuse(*arguments):
        files = sorted(tmp_path.rglob('*'))
        with pytest.raises(SystemExit) as end:
            run(*arguments)
        said = capsys.readouterr().err
        assert end.value.code == 2 and sorted(tmp_path.rglob('*')) == files
        return said[said.index('error: '):]

    return refuse


@pytest.mark.parametrize('classes', ['red house, tree,boat', 'names.txt'])
def test_onnx_of_ones_own_classes(classes, run, tmp_path):
    (tmp_path / 'names.txt').write_text('red house\ntree\nboat\n')
    said = run(MASKCLIP, '--format', 'onnx', '--out', 'new/toy.onnx', '--classes', classes).out
    assert 'at most 64 pixels along the longer and 64 along the shorter side' in said
    assert said.endswith('Written to new/toy.onnx.\n')
    model = MODELS.build(Config.fromfile(MASKCLIP).model).eval()
    model.set_classes(['red house', 'tree', 'boat'])
    labels, = onnxruntime.InferenceSession('new/toy.onnx').run(None, dict(images=toy_images().numpy()))
    assert (labels == maps(model, toy_images())[0].numpy()).mean() > 0.999
    about = {entry.key: entry.value for entry in onnx.load('new/toy.onnx').metadata_props}
    assert about['classes'] == '["red house", "tree", "boat"]' and about['input_size'] == '{"fit": [64, 64]}'


def test_a_fixed_size_and_windows_are_told(run):
    options = ['--cfg-options', 'model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(32,32)',
               'model.test_cfg.stride=(16,16)']
    said = run(MASKCLIP, '--format', 'onnx', '--out', 'toy.onnx', '--classes', 'tree, boat', '--shape', 1, 48, 64,
               *options).out
    assert 'stretched to 64 x 48 pixels (width x height)' in said
    assert 'slides windows of (32, 32) pixels over the image, but the file takes it as a whole' in said
    about = {entry.key: entry.value for entry in onnx.load('toy.onnx').metadata_props}
    assert about['input_size'] == '{"stretch": [64, 48]}'


@pytest.fixture
def examples(tmp_path):
    """Embeddings of a widget and of a boat, which has words, too; and the classes with the words of others."""
    seg, found = OpenVocabInferencer(MASKCLIP, device='cpu'), {}
    for name, label in (('widget', 'rocket'), ('boat', 'boat')):
        scene = next(one for one in map(draw_scene, range(200)) if (one.labels == CLASSES.index(label)).sum() > 100)
        found[name] = Example(scene.image[..., ::-1], mask=scene.labels == CLASSES.index(label))
    seg.embed_examples(found).save(tmp_path / 'own.safetensors')
    return {'boat': ['boat', found['boat']], 'tree': 'tree', 'widget': found['widget']}


@pytest.mark.parametrize('form', ['onnx', 'embeddings'])
def test_examples_are_in_the_file(form, examples, run):
    """The labels are those of the inferencer, which reads the pictures."""
    out = dict(onnx='a.onnx', embeddings='a.npz')[form]
    run(MASKCLIP, '--format', form, '--out', out, '--classes', 'boat, tree', '--examples', 'own.safetensors')
    seg = OpenVocabInferencer(MASKCLIP, device='cpu')
    picture = toy_images(1)[0].numpy()
    expected = seg(picture[..., ::-1], examples).label_map
    assert len(np.unique(expected)) > 1
    if form == 'onnx':
        found = onnxruntime.InferenceSession(out).run(None, dict(images=picture[None]))[0][0]
        assert (found == expected).mean() > .999
    else:
        stored = np.load(out)
        assert list(stored['classes']) == ['boat', 'tree', 'widget']
        rows = seg.model.decode_head.class_weights()
        np.testing.assert_allclose(stored['text'], rows, atol=1e-6)


def test_examples_that_can_not_be_exported(examples, refuse, tmp_path):
    (tmp_path / 'pictures/widget').mkdir(parents=True)
    Image.fromarray(draw_scene(0).image).save(tmp_path / 'pictures/widget/a.png')
    for arguments, words in ((('--format', 'prompts', '--examples', 'own.safetensors'), 'prompts are for any classes'),
                             (('--format', 'onnx', '--examples', 'pictures'), 'an export reads only embeddings'),
                             (('--format', 'onnx', '--examples', 'gone.safetensors'), 'gone.safetensors')):
        assert words in refuse(MASKCLIP, *arguments, '--classes', 'boat, tree', '--out', 'new.onnx')


@pytest.fixture
def checkpoint(tmp_path):
    """Of MVP-SEG on the toy world, with prompts that are not those of a new model."""
    torch.manual_seed(7)
    model = MODELS.build(Config.fromfile(MVP_SEG).model).eval()
    save_checkpoint(dict(meta={}, state_dict=model.state_dict()), str(tmp_path / 'learned.pth'))
    return model


def test_open_vocabulary_with_embeddings(run, checkpoint):
    run(MVP_SEG, 'learned.pth', '--format', 'onnx', '--out', 'open.onnx', '--open-vocabulary', '--scores',
        '--opset', 16)
    run(MVP_SEG, 'learned.pth', '--format', 'embeddings', '--out', 'names.npz', '--classes', 'tree, bird, blue car')
    names = np.load('names.npz')
    labels, scores = onnxruntime.InferenceSession('open.onnx').run(
        None, dict(images=toy_images().numpy(), text=names['text']))
    checkpoint.set_classes(['tree', 'bird', 'blue car'])
    expected, logits = maps(checkpoint, toy_images())
    assert (labels == expected.numpy()).mean() > 0.999 and np.abs(scores - logits.numpy()).max() < 1e-3


def test_prompts(run, checkpoint):
    run(MVP_SEG, 'learned.pth', '--format', 'prompts', '--out', 'p.safetensors')
    with safe_open('p.safetensors', 'pt') as file:
        assert torch.equal(file.get_tensor('contexts'), checkpoint.decode_head.classifier.prompts.contexts)


def test_baked_without_gpr(run, tiny_vit, tmp_path):
    options = ['--cfg-options', f'model.clip.model={tiny_vit["model"]}', 'model.clip.weights=None']
    said = run(MVP_SEG, '--format', 'mmseg', '--out', 'toy.pth', '--classes', 'cat, dog', '--no-gpr', *options)
    assert '100.00 % of the labels' in said.out
    assert 'parameters are exported with their initial, untrained values' in said.err
    model = init_model('toy.py', 'toy.pth', device='cpu')
    assert type(model).__name__ == 'EncoderDecoder' and model.dataset_meta['classes'] == ['cat', 'dog']


class TestRefused:

    @pytest.mark.parametrize('arguments, sentence', [
        ([MVP_SEG, '--format', 'mmseg', '--out', 'x.pth'], 'GPR needs the whole image'),
        ([MVP_SEG, '--format', 'mmseg', '--no-gpr', '--out', 'x.pth'], "CLIP's own ResNet"),
        ([MASKCLIP, '--format', 'mmseg', '--no-gpr', '--out', 'x.pth'], 'has no GPR to remove'),
        ([MASKCLIP, '--format', 'onnx', '--opset', '3', '--out', 'x.onnx'], 'ONNX opset 3 is not supported'),
        ([MASKCLIP, '--format', 'onnx', '--shape', '1', '0', '64', '--out', 'x.onnx'], '--shape 1 0 64'),
        ([MASKCLIP, '--format', 'prompts', '--open-vocabulary', '--out', 'x'], '--open-vocabulary belongs to'),
        ([MASKCLIP, '--format', 'onnx', '--out', 'x.onnx', '--classes', 'tree'], "'tree' is a single class or an"),
        ([MASKCLIP, '--format', 'onnx', '--out', 'x.onnx', '--classes', 'tree,'], 'A single class'),
        ([MASKCLIP, '--format', 'prompts', '--out', 'x.safetensors'], 'which are not learned'),
        ([MASKCLIP, 'none.pth', '--format', 'prompts', '--out', 'x.safetensors'], 'none.pth does not exist'),
        (['none.py', '--format', 'onnx', '--out', 'x.onnx'], 'none.py does not exist'),
        ([MASKCLIP, '--format', 'onnx', '--out', '/proc/x.onnx'], "x.onnx can't be written")], ids=lambda _: '')
    def test_in_one_sentence(self, arguments, sentence, refuse):
        said = refuse(*arguments)
        assert sentence in said and said.count('\n') == 1

    def test_a_file_that_is_there(self, refuse, tmp_path):
        (tmp_path / 'x.onnx').write_text('precious')
        assert 'x.onnx exists already: name a new file' in refuse(MASKCLIP, '--format', 'onnx', '--out', 'x.onnx')
        assert (tmp_path / 'x.onnx').read_text() == 'precious'
