"""Damaged files: a file whose values were changed is read, or refused in one sentence, and nothing else."""
import copy
import json
import random

import numpy as np
import pytest
from fixtures.annotations import pack_runs, shape, write_photo

from mmseg_mvp.datasets.annotations import convert
from mmseg_mvp.errors import UserError

ODD = (None, True, -1, 0, 2.5, 1e308, float('nan'), float('inf'), 10**30, '', 'x', '\0', '😀', [], {}, [[]], [None],
       {'a': 1}, [1, 2, 3], [[1, 2], [3, 4]], '../../etc', ['tree'])
TRIANGLE = [[1.0, 1.0], [9.0, 2.0], [3.0, 8.0]]
WORDS = np.repeat(np.eye(10, 12, dtype=int).ravel() * 255, 4).tolist()
SIZE = dict(original_width=12, original_height=10, image_rotation=0, id='r')
FILES = {
    'labelme': dict(version='5', flags={}, imagePath='a.png', imageData=None, imageHeight=10, imageWidth=12, shapes=[
        shape('tree', TRIANGLE), shape('house', [[1, 1], [5, 5]], 'rectangle'),
        shape('boat', [[4, 4], [6, 6]], 'circle')]),
    'coco': dict(categories=[dict(id=3, name='tree'), dict(id=9, name='house')],
                 images=[dict(id=1, file_name='a.png', height=10, width=12)], annotations=[
                     dict(id=1, image_id=1, category_id=3, segmentation=[[1, 1, 9, 2, 3, 8]], iscrowd=0),
                     dict(id=2, image_id=1, category_id=9, segmentation=dict(size=[10, 12], counts=[20, 50, 50]))]),
    'label_studio': [dict(id=1, data=dict(image='/data/upload/1/a.png'), annotations=[dict(id=1, result=[
        dict(type='brushlabels', value=dict(format='rle', rle=pack_runs(WORDS), brushlabels=['tree']), **SIZE),
        dict(type='polygonlabels', value=dict(points=TRIANGLE, polygonlabels=['house']), **SIZE),
        dict(type='rectanglelabels', value=dict(x=1, y=2, width=30, height=40, rotation=20, rectanglelabels=['boat']),
             **SIZE)])])]}


def places(node, path=()):
    """Paths of all values in a document."""
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


def changed(document, rng):
    """A copy with one to three values replaced or removed."""
    document = [copy.deepcopy(document)]
    for _ in range(rng.randint(1, 3)):
        path = rng.choice([(0, *path) for path in places(document[0])])
        node = document
        for key in path[:-1]:
            node = node[key]
        if isinstance(node, dict) and rng.random() < .3:
            del node[path[-1]]
        else:
            node[path[-1]] = copy.deepcopy(rng.choice(ODD))
    return document[0]


@pytest.mark.parametrize('name', FILES)
def test_changed_documents(tmp_path, name):
    write_photo(tmp_path / 'photos/a.png')
    rng, ends = random.Random(0), {True: 0, False: 0}
    for index in range(150):
        file = tmp_path / f'{index}.json'
        file.write_text(json.dumps(changed(FILES[name], rng)))
        try:
            convert(tmp_path / 'photos', file, tmp_path / f'out{index}')
            ends[True] += 1
        except UserError as error:
            assert '\n' not in str(error) and len(str(error)) < 600, error
            assert not (tmp_path / f'out{index}').exists()
            ends[False] += 1
    assert min(ends.values()) > 0, ends


@pytest.mark.parametrize('name', FILES)
def test_cut_files(tmp_path, name):
    write_photo(tmp_path / 'photos/a.png')
    whole = json.dumps(FILES[name]).encode()
    for end in range(0, len(whole) - 1, max(len(whole) // 40, 1)):
        (tmp_path / 'cut.json').write_bytes(whole[:end])
        with pytest.raises(UserError, match='cut.json'):
            convert(tmp_path / 'photos', tmp_path / 'cut.json', tmp_path / 'out')
