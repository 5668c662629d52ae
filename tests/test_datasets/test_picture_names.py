"""Each sample of a data set has its own file name."""
import pytest
from mmengine.dataset import ConcatDataset
from mmseg.datasets import BaseSegDataset
from mmseg.structures import SegDataSample

from mmseg_mvp.datasets import PictureNames


class Listed(BaseSegDataset):
    """A data set that has a list of images only."""

    def __init__(self, *infos):
        self.infos = infos
        super().__init__(pipeline=[], metainfo=dict(classes=('a', 'b')))

    def load_data_list(self):
        return [info if isinstance(info, dict) else dict(img_path=info) for info in self.infos]


def sample(path=None, *vocabulary) -> SegDataSample:
    meta = dict(img_path=path) if path else {}
    if vocabulary:
        meta['vocabulary'] = {name: (name,) for name in vocabulary}
    return SegDataSample(metainfo=meta)


def names_of(*paths) -> list[str]:
    names = PictureNames(Listed(*paths))
    return [names(sample(path), index) for index, path in enumerate(paths)]


@pytest.mark.parametrize('paths, names', [
    (['d/a/0.jpg', 'd/b/1.jpg'], ['0', '1']),  # stems differ
    (['d/a/0.jpg', 'd/b/0.jpg', 'd/b/1.jpg'], ['a/0', 'b/0', 'b/1']),
    (['/d/a/x/0.jpg', '/d/b/y/0.jpg'], ['a/x/0', 'b/y/0']),
    (['d/x.jpg', 'd/x.png', 'd/y.png'], ['x.jpg', 'x.png', 'y.png']),
    (['d/a/x.jpg', 'd/a/x.png', 'd/b/x.png'], ['a/x.jpg', 'a/x.png', 'b/x.png']),
    (['d/x.jpg', 'd/X.jpeg'], ['x.jpg', 'X.jpeg']),  # one file where case does not count
    (['d/x 1.jpg', 'd/x_1.jpg'], ['x_1.jpg_0', 'x_1.jpg_1']),  # one name after the replacement of characters
    (['s3://bucket/a/0.jpg', 's3://bucket/b/0.jpg'], ['a/0', 'b/0']),
    (['d/a?/0 0.jpg', 'd/b/0 0.jpg'], ['a_/0_0', 'b/0_0'])])
def test_names(paths, names):
    assert names_of(*paths) == names


def test_parts_of_a_concatenation_share_no_name():
    dataset = ConcatDataset([Listed('one/img/0.jpg'), Listed('two/img/0.jpg')])
    names = PictureNames(dataset)
    assert [names(sample(f'{part}/img/0.jpg'), 0) for part in ('one', 'two')] == ['one/img/0', 'two/img/0']


def test_an_image_twice_has_one_name():
    assert names_of('d/0.jpg', 'd/0.jpg') == ['0', '0']


def test_an_episode_has_the_name_of_its_class():
    infos = [dict(img_path='d/1.jpg', vocabulary=['others', 'red house, home']),
             dict(img_path='d/1.jpg', vocabulary=['others', 'bird'])]
    names = PictureNames(Listed(*infos))
    found = [names(sample('d/1.jpg', 'others', name), 0) for name in ('red house', 'bird')]
    assert found == ['1__red_house', '1__bird']


def test_a_vocabulary_of_the_pipeline_keeps_folders():
    names = PictureNames(Listed('d/a/0.jpg', 'd/b/0.jpg'))
    assert [names(sample(f'd/{part}/0.jpg', 'others', 'cat'), 0) for part in 'ab'] == ['a/0__cat', 'b/0__cat']


def test_data_sets_without_a_list_are_named_sample_by_sample():
    names = PictureNames([1, 2, 3])
    found = [names(sample(path), 7) for path in ('a/0.jpg', 'b/0.jpg', 'a/0.jpg', 'c/0.png', None)]
    assert found == ['0', '0_2', '0', '0_3', '000007']
