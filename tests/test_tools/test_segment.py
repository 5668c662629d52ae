"""tools/segment.py: results, what is kept, what is shared out, and every mistake in one sentence."""
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures.dist import free_port
from fixtures.logs import record_logs
from fixtures.tools import load_tool
from mmengine.config import Config
from PIL import Image
from pycocotools.coco import COCO

from mmseg_mvp import app
from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.apis.example_folder import read_examples
from mmseg_mvp.datasets.annotations import convert
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.vocabularies import load_vocabulary

ROOT = Path(__file__).parents[2]
NAMES = 'red house, tree, boat, picture'
TOY = ['--classes', NAMES, '--clip', 'toy-rn:toy', '--device', 'cpu']


@pytest.fixture(scope='module')
def tool():
    return load_tool('segment.py')


@pytest.fixture
def run(tool, tmp_path, monkeypatch, capsys):
    """Run the tool in a folder with three toy pictures; its exit code, what it printed, and the files it segmented."""
    monkeypatch.chdir(tmp_path)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'TORCHELASTIC_RUN_ID'):
        monkeypatch.delenv(name, raising=False)
    record_logs(monkeypatch, 'mmseg_mvp.apis.toy_check')  # a drawing stored as JPEG is none for it
    Path('photos').mkdir()
    for index, name in enumerate(('a.png', 'b.jpg', 'c.bmp')):
        Image.fromarray(draw_scene(index, 'test', 64).image).save(f'photos/{name}')
    work = tool.segment_file

    def call(*arguments):
        done = []
        monkeypatch.setattr(tool, 'segment_file', lambda seg, path, *rest: done.append(path.name) or work(
            seg, path, *rest))
        monkeypatch.setattr(sys, 'argv', ['segment.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end, app.user_errors():
            tool.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return end.value.code, said.out, said.err, done

    return call


def write_config(path, **model):
    """A config of MaskCLIP on the toy world, with bare names for 85 sentences."""
    cfg = Config.fromfile(ROOT / 'configs/maskclip/toy_zs.py')
    cfg.merge_from_dict(dict(model=dict(decode_head=dict(prompts=dict(templates='name')), **model)))
    cfg.dump(path)
    return path


def results(folder='segmented'):
    return sorted(path.name for path in Path(folder).iterdir())


def test_one_image_without_a_checkpoint(run):
    """The picture and the mask are those of the inferencer; the folder says what its labels mean."""
    code, out, err, _ = run('photos/a.png', *TOY, '--masks')
    assert code == 0 and '1 segmented, 0 kept, 0 unreadable; results are in segmented' in out
    assert results() == ['a_mask.png', 'a_seg.png', 'seg_classes.txt']
    expected = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')('photos/a.png', NAMES)
    np.testing.assert_array_equal(np.asarray(Image.open('segmented/a_mask.png')), expected.label_map)
    np.testing.assert_array_equal(np.asarray(Image.open('segmented/a_seg.png')), expected.draw())
    assert Path('segmented/seg_classes.txt').read_text().split('\n') == [*NAMES.split(', '), '']


def test_config_and_threshold(run):
    config = write_config('config.py')
    code, *_ = run('photos/a.png', '--classes', NAMES, '--config', config, '--device', 'cpu', '--masks',
                   '--threshold', .9, '--out-dir', 'new/out')
    expected = OpenVocabInferencer(config, device='cpu')('photos/a.png', NAMES, threshold=.9).label_map
    assert code == 0 and 255 in expected
    np.testing.assert_array_equal(np.asarray(Image.open('new/out/a_mask.png')), expected)


def test_refine(run):
    code, *_ = run('photos/a.png', *TOY, '--masks', '--refine')
    clip = dict(model='toy-rn', weights='toy')
    plain, sharp = (OpenVocabInferencer(clip=clip, device='cpu', refine=refine)('photos/a.png', NAMES).label_map
                    for refine in (None, 'pamr'))
    assert code == 0 and (plain != sharp).any()
    np.testing.assert_array_equal(np.asarray(Image.open('segmented/a_mask.png')), sharp)


class TestExamples:

    @pytest.fixture
    def folder(self):
        """Examples of a widget, by a mask, and of a boat, which has words, too."""
        Path('examples/widget').mkdir(parents=True)
        Path('examples/boat').mkdir()
        for name, index in (('rocket', 12), ('boat', 9)):
            label = CLASSES.index(name)
            scene = next(one for one in map(draw_scene, range(200)) if (one.labels == label).sum() > 100)
            path = f'examples/{"widget" if name == "rocket" else name}/{index}'
            Image.fromarray(scene.image).save(f'{path}.jpg', quality=100, subsampling=0)
            Image.fromarray((scene.labels == label).astype(np.uint8)).save(f'{path}.png')
        return 'examples'

    def test_result_is_that_of_the_inferencer(self, run, folder):
        code, _, err, _ = run('photos/a.png', *TOY, '--examples', folder, '--masks')
        classes = {name: name for name in NAMES.split(', ')}
        classes['boat'] = ['boat', Example('examples/boat/9.jpg', mask='examples/boat/9.png')]
        classes['widget'] = Example('examples/widget/12.jpg', mask='examples/widget/12.png')
        seg = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')
        found = np.asarray(Image.open('segmented/a_mask.png'))
        assert code == 0, err
        np.testing.assert_array_equal(found, seg('photos/a.png', classes).label_map)
        assert Path('segmented/seg_classes.txt').read_text().splitlines() == [
            'red house', 'tree', 'boat  # with examples in examples', 'picture', 'widget  # by examples in examples']
        assert load_vocabulary('segmented/seg_classes.txt')['widget'] == ('widget', )
        assert 'other classes' in run('photos/a.png', *TOY)[2]

    def test_saved_file_and_weight(self, run, folder):
        seg = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu', example_weight=.8)
        classes = seg.embed_examples(read_examples(folder))
        classes.save('own.safetensors')
        arguments = ['--classes', 'lamp, boat', *TOY[2:], '--example-weight', .8, '--masks']
        for source, out in (('own.safetensors', 'a'), (folder, 'b')):
            assert run('photos/a.png', *arguments, '--examples', source, '--out-dir', out)[0] == 0
        joined = {'lamp': 'lamp', 'boat': ['boat', *classes['boat']], 'widget': classes['widget']}
        expected = seg('photos/a.png', joined)
        for out in 'ab':
            np.testing.assert_array_equal(np.asarray(Image.open(f'{out}/a_mask.png')), expected.label_map)

    def test_mistakes(self, run, folder):
        for arguments, words in ((['--examples', 'gone'], 'gone cannot be read'), ([], 'Classes are missing'),
                                 (['--examples', 'photos'], 'not a folder of examples'),
                                 (['--examples', folder, '--example-weight', 2], 'example_weight (--example-weight)')):
            code, _, err, _ = run('photos/a.png', *TOY[2:], *arguments)
            assert code == 2 and words in err and err.count('\n') == 1


def test_folder_with_unreadable_files(run):
    """The others are segmented all the same; the summary names them and why, and the exit code tells a script."""
    Path('photos/bad.png').write_bytes(Path('photos/a.png').read_bytes()[:500])
    Path('photos/notes.jpg').write_text('no image')
    Path('photos/readme.txt').write_text('not looked at')
    code, out, err, _ = run('photos', *TOY, '--out-dir', 'out')
    assert code == 1 and results('out') == ['a_seg.png', 'b_seg.png', 'c_seg.png', 'seg_classes.txt']
    assert '3 segmented, 0 kept, 2 unreadable; results are in out' in out
    told = err.splitlines()
    assert len(told) == 2 and all(line.startswith('unreadable: Image photos/') for line in told)
    assert 'bad.png' in told[0] and 'notes.jpg' in told[1]


def test_larger_images_than_allowed_are_unreadable(run):
    code, out, err, _ = run('photos', *TOY, '--max-pixels', 4095)
    assert code == 1 and err.count('64 x 64 = 4096 pixels, but max_pixels (--max-pixels) is 4095') == 3
    assert run('photos', *TOY, '--max-pixels', 4096)[0] == 0


class TestResume:

    def test_only_what_is_missing_is_made(self, run, tool, monkeypatch):
        assert run('photos', *TOY)[3] == ['a.png', 'b.jpg', 'c.bmp']
        times = {name: os.stat(f'segmented/{name}').st_mtime_ns for name in results()}
        Path('segmented/b_seg.png').unlink()
        code, out, _, done = run('photos', *TOY)
        assert code == 0 and done == ['b.jpg'] and '1 segmented, 2 kept' in out
        for name in ('a_seg.png', 'c_seg.png'):
            assert os.stat(f'segmented/{name}').st_mtime_ns == times[name]
        monkeypatch.setattr(tool, 'build', lambda args: pytest.fail('nothing is left to do'))
        code, out, _, done = run('photos', *TOY)
        assert code == 0 and done == [] and '0 segmented, 3 kept' in out

    def test_masks_come_later_and_pictures_stay(self, run):
        run('photos/a.png', *TOY)
        picture = Path('segmented/a_seg.png')
        picture.write_bytes(b'mine')
        code, out, _, done = run('photos/a.png', *TOY, '--masks')
        assert code == 0 and done == ['a.png'] and Path('segmented/a_mask.png').exists()
        assert picture.read_bytes() == b'mine'
        assert run('photos/a.png', *TOY, '--overwrite')[3] == ['a.png']
        assert Image.open(picture).format == 'PNG'

    def test_stopped_run_leaves_no_half_file(self, run, monkeypatch):
        """Stopped while the second picture is being written: the next run makes that and the third."""
        write, calls = Image.Image.save, []

        def stop(self, path, *args, **kwargs):
            calls.append(path)
            if len(calls) == 2:
                Path(path).write_bytes(b'half')
                raise KeyboardInterrupt
            write(self, path, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Image.Image, 'save', stop)
            with pytest.raises(KeyboardInterrupt):
                run('photos', *TOY)
        assert results() == ['a_seg.png', 'seg_classes.txt']
        assert run('photos', *TOY)[3] == ['b.jpg', 'c.bmp']

    def test_a_folder_of_no_results_takes_other_classes(self, run):
        assert run('photos/a.png', *TOY, '--checkpoint', 'none.pth')[0] == 2
        assert run('photos/a.png', *TOY, '--classes', 'tree, boat')[0] == 0
        assert Path('segmented/seg_classes.txt').read_text() == 'tree\nboat\n'

    def test_results_for_other_classes_are_not_taken_for_these(self, run):
        run('photos/a.png', *TOY)
        code, _, err, done = run('photos/a.png', *TOY, '--classes', 'tree, boat')
        assert code == 2 and done == []
        assert err.startswith('error: --out-dir segmented holds results for other classes') and err.count('\n') == 1
        assert run('photos/a.png', *TOY, '--classes', 'tree, boat', '--overwrite')[3] == ['a.png']
        assert Path('segmented/seg_classes.txt').read_text() == 'tree\nboat\n'


class TestSharing:

    def test_each_process_takes_its_share(self, run, monkeypatch):
        """Two of three pictures here, one there: all, and none twice."""
        monkeypatch.setenv('WORLD_SIZE', '2')
        shares = []
        for rank in '01':
            monkeypatch.setenv('RANK', rank)
            code, out, _, done = run('photos', *TOY)
            assert code == 0 and f'{len(done)} segmented' in out
            shares.append(done)
        assert shares == [['a.png', 'c.bmp'], ['b.jpg']]
        assert results() == ['a_seg.png', 'b_seg.png', 'c_seg.png', 'seg_classes.txt']

    def test_shares_stay_the_same_when_a_run_goes_on(self, run, monkeypatch):
        """What is there already is left out after the files are dealt out, or else a file would have two owners."""
        run('photos/a.png', *TOY)
        monkeypatch.setenv('WORLD_SIZE', '2')
        for rank, expected in (('0', ['c.bmp']), ('1', ['b.jpg'])):
            monkeypatch.setenv('RANK', rank)
            assert run('photos', *TOY)[3] == expected

    @pytest.mark.slow
    def test_torchrun_waits_for_all_and_sums_up_once(self, run):
        """The process that meets the unreadable file is done first; torchrun must not stop the other one for it."""
        Path('photos/b.jpg').write_text('no image')
        for index in range(20):
            Image.fromarray(draw_scene(index, 'test', 64).image).save(f'photos/x{index:02d}.png')
        env = {**os.environ, 'PYTHONPATH': str(ROOT), 'CUDA_VISIBLE_DEVICES': '-1', 'OMP_NUM_THREADS': '1'}
        command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={free_port()}']
        done = subprocess.run([*command, str(ROOT / 'tools/segment.py'), 'photos', *TOY], env=env, capture_output=True,
                              text=True)
        assert done.returncode != 0
        assert done.stdout.count('22 segmented, 0 kept, 1 unreadable') == 1
        assert done.stderr.count('unreadable: Image photos/b.jpg') == 1
        assert len(list(Path('segmented').glob('*_seg.png'))) == 22


def test_names_that_differ_in_their_endings_alone(run):
    for name in ('a.jpg', 'a.png.bmp'):
        Image.fromarray(draw_scene(5, 'test', 64).image).save(f'photos/{name}')
    run('photos', *TOY)
    assert results() == ['a.jpg_seg.png', 'a.png.bmp_seg.png', 'a.png_seg.png', 'b_seg.png', 'c_seg.png',
                         'seg_classes.txt']


class TestViews:

    def test_maskclip_has_views_and_no_presence(self, run):
        code, *_ = run('photos/a.png', *TOY, '--views')
        assert code == 0 and results() == ['a_seg.png', 'a_views.png', 'seg_classes.txt']
        present = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')('photos/a.png', NAMES)
        one = Image.open('segmented/a_views.png')
        assert one.height > 150 * len(present.present()), 'a row for each class in the picture'

    def test_all_classes_have_a_row(self, run):
        untrained = ['--config', ROOT / 'configs/mvp_seg/toy_zs.py', '--device', 'cpu']  # of nothing is it certain
        assert run('photos/a.png', '--classes', NAMES, *untrained, '--views', '--threshold', 1)[0] == 0
        assert results() == ['a_seg.png', 'a_views.png', 'seg_classes.txt']
        assert Image.open('segmented/a_views.png').height > 150 * len(NAMES.split(',')), 'no class has a pixel'

    def test_lseg_has_none(self, run):
        code, _, err, done = run('photos/a.png', '--classes', NAMES, '--config', ROOT / 'configs/lseg/toy_zs.py',
                                 '--device', 'cpu', '--views')
        assert code == 2 and '--views needs a model with a map per prompt' in err and done == []


def test_many_classes_have_masks_of_sixteen_bits(run, tiny_rn):
    Path('names.txt').write_text('\n'.join(f'thing {index}' for index in range(256)))
    config = write_config('config.py', clip=dict(tiny_rn, weights=None))
    code, out, *_ = run('photos/a.png', '--classes', 'names.txt', '--config', config, '--device', 'cpu', '--masks')
    assert code == 0 and 'The masks have 16 bits and no palette, because there are 256 classes.' in out
    assert Image.open('segmented/a_mask.png').mode.startswith('I')


class TestAnnotations:
    """--format: annotations of the label map of the inferencer."""

    @pytest.fixture
    def expected(self):
        seg = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')
        return {name: seg(f'photos/{name}', NAMES, .5).label_map for name in ('a.png', 'b.jpg', 'c.bmp')}

    def test_png(self, run, expected):
        assert run('photos', *TOY, '--threshold', .5, '--format', 'png')[0] == 0
        assert results() == ['a_mask.png', 'b_mask.png', 'c_mask.png', 'seg_classes.txt']
        for name, labels in expected.items():
            np.testing.assert_array_equal(np.asarray(Image.open(f'segmented/{name[0]}_mask.png')), labels)

    def test_labelme(self, run, expected):
        """Each file refers to its photo from its own folder; the converter reads the label map back."""
        assert run('photos', *TOY, '--threshold', .5, '--format', 'labelme', '--tolerance', 0)[0] == 0
        assert results() == ['a.json', 'b.json', 'c.json', 'seg_classes.txt']
        made = convert('photos', 'segmented', 'data', 'ignore', 'segmented/seg_classes.txt')
        assert made.classes == NAMES.split(', ')
        for name, labels in expected.items():
            record = json.loads(Path(f'segmented/{name[0]}.json').read_text('utf-8'))
            assert Path('segmented', record['imagePath']).resolve() == Path('photos', name).resolve()
            np.testing.assert_array_equal(np.asarray(Image.open(f'data/masks/{name[0]}.png')), labels)

    def test_labelme_beside_the_photos(self, run):
        assert run('photos', *TOY, '--format', 'labelme', '--out-dir', 'photos')[0] == 0
        assert json.loads(Path('photos/a.json').read_text())['imagePath'] == 'a.png'
        Path('photos/a.json').write_text('corrected')
        assert run('photos', *TOY, '--format', 'labelme', '--out-dir', 'photos')[3] == []
        assert Path('photos/a.json').read_text() == 'corrected'
        assert len(run('photos', *TOY, '--format', 'labelme', '--out-dir', 'photos', '--overwrite')[3]) == 3

    def test_coco(self, run, expected):
        assert run('photos', *TOY, '--threshold', .5, '--format', 'coco', '--tolerance', 0)[0] == 0
        api = COCO('segmented/annotations.json')
        assert [one['name'] for one in api.loadCats(api.getCatIds())] == NAMES.split(', ')
        for image in api.loadImgs(api.getImgIds()):
            labels = np.full((64, 64), 255)
            for one in api.loadAnns(api.getAnnIds(image['id'])):
                labels[api.annToMask(one) > 0] = one['category_id'] - 1
            np.testing.assert_array_equal(labels, expected.pop(image['file_name']))
        assert not expected

    def test_coco_goes_on_and_is_not_overwritten(self, run):
        """The label maps of a stopped run are kept. A file that lacks photos stays until it is moved away."""
        assert run('photos/a.png', *TOY, '--format', 'coco')[0] == 0
        written = Path('segmented/annotations.json').read_text()
        code, _, err, done = run('photos', *TOY, '--format', 'coco')
        assert code == 2 and done == [] and "lacks 2 of 3 photos ('b.jpg', 'c.bmp')" in err
        assert Path('segmented/annotations.json').read_text() == written
        Path('segmented/annotations.json').unlink()
        assert run('photos', *TOY, '--format', 'coco')[3] == ['b.jpg', 'c.bmp']
        assert len(json.loads(Path('segmented/annotations.json').read_text())['images']) == 3
        code, out, *_ = run('photos', *TOY, '--format', 'coco')
        assert code == 0 and '0 segmented, 3 kept' in out


def film(path, count=3):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10., (64, 64))
    for index in range(count):
        writer.write(draw_scene(index, 'test', 64).image[..., ::-1])
    writer.release()


class TestVideo:

    def test_video(self, run):
        film('film.mp4')
        code, out, *_ = run('film.mp4', *TOY)
        assert code == 0 and '1 segmented' in out and results() == ['film_seg.mp4', 'seg_classes.txt']
        assert '3/3, ' in out and 'ETA' in out
        assert '0 segmented, 1 kept' in run('film.mp4', *TOY)[1]
        for flag in ('--masks', '--views', '--format=png'):
            code, _, err, _ = run('film.mp4', *TOY, flag)
            assert code == 2 and '--masks, --views and --format are for images' in err

    def test_videos_in_a_folder(self, run, tool, monkeypatch):
        """A photo and a film of one stem, as phones write them, have results of one stem."""
        film('photos/a.mp4')
        code, out, *_ = run('photos', *TOY)
        assert code == 0 and '4 segmented' in out and '6/6, ' in out, 'three photos and three frames'
        assert results() == ['a_seg.mp4', 'a_seg.png', 'b_seg.png', 'c_seg.png', 'seg_classes.txt']
        for flag, missing in (('--masks', '--masks, --views and --format'), (None, '".[video]"')):
            monkeypatch.setattr(tool, 'can_segment_videos', lambda flag=flag: bool(flag))
            code, out, err, done = run('photos', *TOY, '--overwrite', *filter(None, [flag]))
            assert code == 0 and '3 segmented' in out and '1 videos were left out: ' in err and missing in err
            assert 'a.mp4' not in done

    def test_without_pyav(self, run, tool, monkeypatch):
        film('film.mp4')
        monkeypatch.setattr(tool, 'can_segment_videos', lambda: False)
        code, _, err, done = run('film.mp4', *TOY)
        assert code == 2 and 'film.mp4 can\'t be segmented: a video needs PyAV' in err and '".[video]"' in err
        assert not Path('segmented').exists()

    def test_without_frames(self, run):
        Path('film.mp4').write_text('no video')
        code, out, err, _ = run('film.mp4', *TOY)
        assert code == 1 and 'unreadable: Video film.mp4 has no frame that FFmpeg can read' in err
        assert results() == ['seg_classes.txt']


@pytest.mark.parametrize('arguments, words', [
    (['nowhere.png', *TOY], 'nowhere.png does not exist'),
    (['empty', *TOY], 'has no image'),
    (['photos', *TOY, '--out-dir', './photos/'], 'is the folder of the images'),
    (['photos', *TOY, '--out-dir', 'photos/a.png'], "can't be written"),
    (['photos', *TOY, '--out-dir', 'photos/a.png/deeper'], "can't be written"),
    (['photos', *TOY, '--classes', ''], 'Classes are missing'),
    (['photos', *TOY, '--format', 'labelme', '--tolerance', '-1'], '--tolerance is -1.0'),
    (['photos', *TOY, '--format', 'png', '--out-dir', 'photos'], 'is the folder of the images'),
    (['photos', *TOY, '--classes', 'tree'], 'at least two class names'),
    (['photos', *TOY, '--classes', 'tree, tree'], 'more than once'),
    (['photos', *TOY, '--classes', 'nowhere.txt'], 'nowhere.txt'),
])
def test_mistakes_are_told_before_a_model_is_built(run, tool, monkeypatch, arguments, words):
    Path('empty').mkdir()
    monkeypatch.setattr(tool, 'build', lambda args: pytest.fail('too late'))
    code, _, err, _ = run(*arguments)
    assert code == 2 and words in err and err.startswith('error: ') and err.count('\n') == 1


@pytest.mark.parametrize('arguments, words', [
    (['--clip', 'toy-rn'], 'is not MODEL:WEIGHTS'),
    (['--clip', 'toy-nr:toy'], "no CLIP model 'toy-nr'"),
    (['--config', 'nowhere.py'], 'config nowhere.py does not exist'),
    (['--checkpoint', 'nowhere.pth'], 'checkpoint nowhere.pth does not exist'),
    (['--device', 'gpu'], "Device 'gpu' is not available here"),
    (['--threshold', '2'], 'between 0 and 1'),
    (['--max-pixels', '0'], 'at least one pixel'),
    (['--classes', 'tree, dragon'], "no vector for 'dragon'"),
])
def test_mistakes_that_the_model_tells(run, arguments, words):
    code, _, err, _ = run('photos', *TOY, *arguments)
    assert code == 2 and words in err and err.splitlines()[-1].startswith('error: ')
    assert not list(Path('segmented').glob('*.png'))
