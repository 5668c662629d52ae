"""Forward passes for training, compared with those of open_clip."""
import open_clip
import pytest
import torch
from torch.nn import functional as F

from mmseg_mvp.clip.building import SHIPPED, build_from_config
from mmseg_mvp.clip.compact_table import compact_state, expand_token_table, keep_tokens
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.dense_variants import VIT_VARIANTS
from mmseg_mvp.clip.image_tower import ViTTower
from mmseg_mvp.clip.training import (
    encode_cells,
    encode_patches,
    encode_text,
    pool_cells,
    project_cells,
    start_as_convolution,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_from_config(SHIPPED / 'toy-rn.json').eval()
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):  # zero at the start, which would hide a missing bias
            torch.nn.init.normal_(parameter)
    return model


@torch.no_grad()
def test_cells_equal_the_towers_of_open_clip(model):
    images = torch.rand(3, 3, 64, 64)
    cells = encode_cells(model, images)
    assert torch.allclose(pool_cells(model, cells), model.encode_image(images), atol=1e-4)
    assert torch.allclose(project_cells(model, cells), dense_tower(model.visual)(images)[-1], atol=1e-4)


@torch.no_grad()
def test_short_sentences_and_tokens_equal_encode_text(model):
    tokenizer, texts = open_clip.SimpleTokenizer(context_length=32), ['a photo of a house.', 'ice cream.',
                                                                      'the red roof of a house at the top.']
    tokens = tokenizer(texts)
    expected = F.normalize(model.encode_text(tokens), dim=-1)
    ids = tokens.unique()
    keep_tokens(model, ids)
    short = torch.searchsorted(ids, tokens[:, :int((tokens != 0).sum(1).max())].contiguous())
    assert torch.allclose(encode_text(model, short), expected, atol=1e-5)


def test_compact_state_expands_to_the_model(model):
    full, ids = {name: value.half() for name, value in model.state_dict().items()}, torch.tensor([0, 320, 49407])
    keep_tokens(model, ids)
    assert model.token_embedding.weight.requires_grad
    state = compact_state(model, ids)
    assert state['token_embedding.rows'].shape == (3, full['token_embedding.weight'].shape[1])
    whole = build_from_config(SHIPPED / 'toy-rn.json')
    expanded = expand_token_table(whole, state)
    whole.load_state_dict(expanded, strict=True)
    assert torch.equal(expanded['token_embedding.weight'][ids], full['token_embedding.weight'][ids])
    assert torch.equal(expanded['visual.conv1.weight'], full['visual.conv1.weight'])


@pytest.fixture
def vit():
    torch.manual_seed(0)
    visual = build_from_config(SHIPPED / 'toy-vit.json').eval().visual
    start_as_convolution(visual)
    return visual


@torch.no_grad()
def test_patches_equal_the_towers_of_open_clip_and_of_two_variants(vit):
    for name, parameter in vit.named_parameters():
        if name.endswith('bias'):
            torch.nn.init.normal_(parameter)
    images = torch.rand(3, 3, 64, 64)
    embedding, masked, values = encode_patches(vit, images)
    assert torch.allclose(embedding, vit(images), atol=1e-4)
    assert torch.allclose(masked, ViTTower(vit)(images)[-1], atol=1e-4)
    assert torch.allclose(values, ViTTower(vit, VIT_VARIANTS['value'])(images)[-1], atol=1e-4)


@torch.no_grad()
def test_heads_start_with_the_nine_neighbours(vit):
    """Torch's own attention of the first block, on positions without content."""
    block = vit.transformer.resblocks[0]
    vit.conv1.weight.zero_()
    tokens = block.ln_1(vit._embeds(torch.zeros(1, 3, 64, 64)))[:, 1:]
    _, weights = block.attn(tokens, tokens, tokens, average_attn_weights=False)  # (1, 9, 64, 64)
    for head, found in enumerate(weights[0].argmax(-1)):
        down, right = head // 3 - 1, head % 3 - 1
        for row in range(1, 7):
            for column in range(1, 7):
                assert divmod(int(found[row * 8 + column]), 8) == (row + down, column + right)


@torch.no_grad()
def test_features_depend_on_the_image_at_the_start(vit):
    one, other = (encode_patches(vit, images)[1] for images in torch.rand(2, 1, 3, 64, 64))
    assert torch.isfinite(one).all() and (one - other).abs().mean() > .1 * one.std()
