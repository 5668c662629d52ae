"""Every entry point x every payload: none runs, and each is told in one sentence.

``pytest tests/test_tools/test_untrusted_files.py -rP | grep '^| '`` prints the table of
benchmarks/reliability/README.md.
"""
import runpy
import sys
from collections import OrderedDict

import pytest
from fixtures import payloads
from fixtures.tools import TOOLS
from mmengine.logging import MMLogger
from mmseg.apis import init_model
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer, from_pretrained, load_prompts
from mmseg_mvp.app import user_errors
from mmseg_mvp.checkpoints import read_checkpoint
from mmseg_mvp.clip import load_clip

pytestmark = pytest.mark.slow
CONFIGS = TOOLS.parent / 'configs'
MASKCLIP, MVP_SEG, STUDENT = (CONFIGS / method / 'toy_zs.py' for method in ('maskclip', 'mvp_seg', 'mvp_seg_plus'))
TOY = ('--classes', 'tree, boat', '--device', 'cpu', '--out-dir', 'out')

PICKLE, OLD, SCRIPT = 'pickle in torch.save', 'torch before 1.6', 'TorchScript'
CODE, COMPONENT, BARE, ARRAY = 'code as config', 'function as model', 'bare pickle', 'pickle in .npy'
WRITERS = {
    PICKLE: payloads.write_checkpoint, OLD: lambda path: payloads.write_checkpoint(path, zipped=False),
    SCRIPT: payloads.write_torchscript, CODE: payloads.write_stored_code, COMPONENT: payloads.write_stored_component,
    BARE: payloads.write_pickle, ARRAY: payloads.write_array}
TENSORS, CHECKPOINT = (PICKLE, OLD, SCRIPT), (PICKLE, OLD, SCRIPT, CODE, COMPONENT)


def tool(name, *arguments):
    """A run of ``tools/NAME.py``, which gets the file where the arguments say ``{file}``."""

    def run(file, *flags):
        sys.argv = [f'{name}.py', *(str(one).replace('{file}', str(file)) for one in arguments), *flags]
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')

    return run


def call(function):
    """A call from Python, which ends as a tool does."""

    def run(file):
        with user_errors():
            function(str(file))

    return run


def train(*options, config=MVP_SEG):
    return tool('train', config, '--work-dir', 'work', '--cfg-options', 'train_dataloader.dataset.num_images=8',
                'val_dataloader.dataset.num_images=8', *options)


# Entry point -> what it does with a file, the file's ending, and the payloads that such a file may hold.
ENTRIES = {
    'tools/test.py CONFIG FILE': (tool('test', MVP_SEG, '{file}', '--work-dir', 'work'), '.pth', TENSORS),
    'tools/train.py --resume FILE': (
        tool('train', MVP_SEG, '--work-dir', 'work', '--resume', '{file}'), '.pth', TENSORS),
    'tools/train.py, load_from': (train('load_from={file}'), '.pth', TENSORS),
    'tools/train.py, model.teacher_checkpoint': (
        train('model.teacher_checkpoint={file}', config=STUDENT), '.pth', TENSORS),
    'tools/train.py, backbone.init_cfg': (
        train('model.teacher_checkpoint=None', 'model.backbone.init_cfg.type=Pretrained',
              'model.backbone.init_cfg.checkpoint={file}', config=STUDENT), '.pth', TENSORS),
    'tools/train.py, model.clip.weights': (train('model.clip.weights={file}'), '.pt', TENSORS),
    'tools/segment.py --checkpoint FILE': (
        tool('segment', 'photo.png', '--checkpoint', '{file}', *TOY), '.pth', CHECKPOINT),
    'tools/segment.py --clip MODEL:FILE': (
        tool('segment', 'photo.png', '--clip', 'toy-rn:{file}', *TOY), '.pt', (*TENSORS, BARE)),
    'tools/segment.py --classes FILE': (
        tool('segment', 'photo.png', '--clip', 'toy-rn:toy', *TOY, '--classes', '{file}'), '.txt', (BARE, )),
    'tools/segment.py FILE': (tool('segment', '{file}', '--clip', 'toy-rn:toy', *TOY), '.png', (BARE, ARRAY)),
    'tools/app.py --checkpoint FILE': (tool('app', '--checkpoint', '{file}', '--device', 'cpu'), '.pth', CHECKPOINT),
    'tools/analysis_tools/explain.py CONFIG FILE': (
        tool('analysis_tools/explain', MVP_SEG, '{file}', '--out-dir', 'out', '--device', 'cpu'), '.pth', TENSORS),
    'tools/export.py CONFIG FILE': (
        tool('export', MVP_SEG, '{file}', '--format', 'prompts', '--out', 'out.safetensors'), '.pth', TENSORS),
    'tools/model_converters/lseg2mmseg.py FILE': (
        tool('model_converters/lseg2mmseg', '{file}', 'out.pth'), '.ckpt', TENSORS),
    'tools/dataset_converters/coco20i_lists.py': (
        lambda file: tool('dataset_converters/coco20i_lists', file.parent)(file), '.pkl', (BARE, )),
    'OpenVocabInferencer(FILE)': (call(lambda file: OpenVocabInferencer(file, device='cpu')), '.pth', CHECKPOINT),
    'OpenVocabInferencer(CONFIG)(FILE)': (
        call(lambda file: OpenVocabInferencer(str(MASKCLIP), device='cpu')(file)), '.npy', (ARRAY, )),
    'LoadCheckedAnnotations, a mask': (
        call(lambda file: TRANSFORMS.build(dict(type='LoadCheckedAnnotations', num_classes=3))(
            dict(seg_map_path=file, seg_fields=[], reduce_zero_label=False))), '.png', (BARE, ARRAY)),
    'read_checkpoint(FILE)': (call(read_checkpoint), '.pth', TENSORS),
    'load_clip(MODEL, FILE)': (call(lambda file: load_clip('toy-rn', file)), '.safetensors', (*TENSORS, BARE)),
    'load_prompts(model, FILE)': (
        call(lambda file: load_prompts(init_model(str(MVP_SEG), device='cpu'), file)), '.safetensors',
        (PICKLE, BARE)),
    'from_pretrained(FILE)': (
        call(lambda file: from_pretrained(file, ['tree', 'boat'])), '.safetensors', (PICKLE, BARE)),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a picture to work in; command lines and loggers are those of one test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [])
    monkeypatch.syspath_prepend(str(TOOLS / 'model_converters'))
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'TORCHELASTIC_RUN_ID'):
        monkeypatch.delenv(name, raising=False)
    Image.new('RGB', (64, 64)).save('photo.png')
    return tmp_path


TRUSTING = [entry for entry in ENTRIES if entry.startswith('tools/') and PICKLE in ENTRIES[entry][2]]


@pytest.mark.parametrize('entry', TRUSTING)
def test_a_trusted_file_is_read_by_the_host(place, capfd, entry):
    """The same payload runs when the user says so, and the log tells it where there is one."""
    run, suffix, _ = ENTRIES[entry]
    proof = WRITERS[PICKLE](place / f'evil{suffix}')
    with pytest.raises(BaseException):  # there are no weights in it
        run(place / f'evil{suffix}', '--trust-checkpoint')
    assert proof.exists()


@pytest.mark.parametrize('entry, payload', [(entry, one) for entry, (*_, some) in ENTRIES.items() for one in some])
def test_no_payload_runs(place, capfd, entry, payload):
    run, suffix, _ = ENTRIES[entry]
    (place / 'stranger').mkdir()
    file = place / 'stranger' / f'evil{suffix}'
    proof = WRITERS[payload](file)
    with pytest.raises(SystemExit) as end:
        run(file)
    said = capfd.readouterr().err
    assert not proof.exists()
    sentence = next(line for line in reversed(said.splitlines()) if line.startswith(('error: ', 'unreadable: ')))
    assert end.value.code in (1, 2) and 'Traceback' not in said and 'evil' in sentence
    print(f'| `{entry}` | {payload} | {sentence.replace(str(file), file.name)} |')
