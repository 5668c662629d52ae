"""Position tables by matrix products, compared with timm's interpolation."""
import pytest
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import vision_transformer

from mmseg_mvp.clip import traceable_positions
from mmseg_mvp.clip.timm_positions import resize_table


@pytest.mark.parametrize('before', [0, 2])
@pytest.mark.parametrize('old, new', [((4, 4), (4, 4)), ((4, 4), (5, 7)), ((4, 4), (2, 3)), ((4, 4), (1, 9)),
                                      ((3, 6), (32, 5)), ((14, 14), (3, 4))])
def test_the_table_is_that_of_timm(before, old, new):
    table = torch.randn(1, before + old[0] * old[1], 8)
    expected = resample_abs_pos_embed(table, new, old, num_prefix_tokens=before)
    assert torch.allclose(resize_table(table, new, old, before), expected, atol=1e-5)
    if old[0] == old[1]:
        assert torch.allclose(resize_table(table, new, num_prefix_tokens=before), expected, atol=1e-5)


def test_timm_is_as_before_after_the_context():
    with pytest.raises(KeyError), traceable_positions():
        assert vision_transformer.resample_abs_pos_embed is resize_table
        raise KeyError
    assert vision_transformer.resample_abs_pos_embed is resample_abs_pos_embed
