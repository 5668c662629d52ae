"""The program of docs/export.md that runs an ONNX file without torch, against the inferencer."""
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from fixtures.docs import ROOT, blocks
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer, export_onnx
from mmseg_mvp.apis.export.common import as_json
from mmseg_mvp.apis.export.input_size import input_size
from mmseg_mvp.datasets.toy.scenes import draw_scene

pytestmark = pytest.mark.usefixtures('mmseg_scope')

NAMES = ['bird', 'rocket', 'picture']
# Torch, OpenCV and the package can't be imported there.
ALONE = ('import runpy, sys; sys.modules.update({name: None for name in ("torch", "cv2", "mmcv", "mmseg_mvp")}); '
         'sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])')


@pytest.mark.slow
@pytest.mark.parametrize('orientation', [1, 6])
def test_the_program_gives_the_labels_of_pytorch(orientation, tmp_path):
    """At the size of the photo, also if that is turned by EXIF; without resizing, the labels are other ones."""
    cfg = Config.fromfile(ROOT / 'configs/maskclip/toy_zs.py')
    model = MODELS.build(cfg.model).eval()
    model.set_classes(NAMES)
    export_onnx(model, tmp_path / 'toy.onnx', scores=True, input_size=as_json(input_size(cfg)))
    code, = (block.code for block in blocks(ROOT / 'docs/export.md') if block.file == 'run_onnx.py')
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 21, 'twenty lines and the name of the file'
    (tmp_path / 'run_onnx.py').write_text(code)
    photo, exif = Image.fromarray(draw_scene(1, 'test', size=900).image).crop((0, 100, 900, 750)), Image.Exif()
    exif[0x112] = orientation
    photo.save(tmp_path / 'photo.png', exif=exif)
    result = subprocess.run([sys.executable, '-c', ALONE, 'run_onnx.py', 'toy.onnx', 'photo.png', 'labels.png'],
                            cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    labels = np.asarray(Image.open(tmp_path / 'labels.png'))
    expected = OpenVocabInferencer(cfg, device='cpu')(tmp_path / 'photo.png', NAMES)
    assert labels.shape == expected.label_map.shape and len(expected.present()) == 3
    assert (labels == expected.label_map).mean() > 0.995
    for index, name in enumerate(NAMES):
        assert f'{name}: {(labels == index).mean():.1%}' in result.stdout
    session = onnxruntime.InferenceSession(str(tmp_path / 'toy.onnx'))
    whole, = session.run(['labels'], dict(images=expected.image[None]))
    assert (whole[0] == expected.label_map).mean() < 0.95
