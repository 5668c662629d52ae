"""Dense features of timm's towers, compared with timm's own layers and with formulas in float64."""
from unittest import mock

import pytest
import timm
import torch
from fixtures.naive_attention import NAIVE_WEIGHTS, WITH_RESIDUAL, gaussian, idle_and_listed, relative, soft
from fixtures.refusals import refused
from fixtures.timm_builders import small_tower
from open_clip.timm_model import TimmModel
from timm.models.eva import EvaBlockPostNorm
from torch.nn import functional as F

from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.dense_variants import LATENT_VARIANTS, VIT_VARIANTS

EXACT = 1e-7  # timm keeps the frequencies of rotations in float32
SIZES = [(160, 224), (32, 96)]
POOLS = ['ViT-B-16-SigLIP', 'ViT-SO400M-14-SigLIP2', 'PE-Core-B-16']
CLASS_TOKENS = ['EVA02-B-16', 'EVA02-E-14', 'EVA01-g-14']
CELLS = ['convnext_base', 'convnext_large_d', 'MobileCLIP-S1']


@pytest.fixture(scope='module')
def towers():
    """A tower by name, and the same one that timm builds for images of any size; each is built once."""
    built = {}

    def get(name):
        if name not in built:
            anywhere = {} if name in CELLS else dict(dynamic_img_size=True)
            built[name] = small_tower(name), small_tower(name, **anywhere)
        return built[name]

    return get


def images_of(*size):
    return torch.randn(2, 3, *size, dtype=torch.float64)


def singles(tower, images):
    return torch.cat([tower(image[None])[0] for image in images])


def as_map(vectors, like, stride):
    """Vectors (B, h*w, D) as a map (B, D, h, w) of images."""
    return vectors.transpose(1, 2).reshape(len(like), -1, like.shape[2] // stride, like.shape[3] // stride)


def alone(pool, tokens):
    """Apply timm's pooling to every token (B, N, width) as if it were the only one."""
    return pool(tokens.flatten(0, 1)[:, None]).unflatten(0, tokens.shape[:2])


class TestAttentionPools:

    @pytest.mark.parametrize('dense', ['maskclip', 'value'])
    @pytest.mark.parametrize('name', ['ViT-B-16-SigLIP', 'ViT-SO400M-14-SigLIP2'])
    def test_an_image_of_one_patch_has_its_own_embedding(self, towers, name, dense):
        own, theirs = towers(name)
        images = images_of(16, 16)
        assert relative(dense_tower(own, dense)(images)[0].flatten(1), theirs(images)) < 1e-12

    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('name', POOLS)
    def test_each_token_is_pooled_alone(self, towers, name, size):
        own, theirs = towers(name)
        images, tower = images_of(*size), dense_tower(own)
        tokens = theirs.trunk.forward_features(images)[:, theirs.trunk.num_prefix_tokens:]
        expected = theirs.head(alone(theirs.trunk.forward_head, tokens))
        found, = tower(images)
        assert relative(found, as_map(expected, images, 16)) < EXACT
        assert relative(found, singles(tower, images)) < EXACT

    @pytest.mark.parametrize('dense, pairs, std', [
        ('kk', ['kk'], None), ('vv', ['vv'], None), (dict(type='kk', neighbourhood=2.), ['kk'], 2.)], ids=str)
    @pytest.mark.parametrize('name', ['ViT-B-16-SigLIP', 'PE-Core-B-16'])
    def test_pairs_equal_the_naive_form(self, towers, name, dense, pairs, std):
        own, theirs = towers(name)
        images, trunk = images_of(160, 224), theirs.trunk
        pool, before = trunk.attn_pool, trunk.num_prefix_tokens
        tokens = trunk.forward_features(images)
        found = []
        for image in tokens:
            k, v = (part.chunk(2, dim=1) for part in pool.kv(image).chunk(2, dim=1))  # of two heads
            mixed = []
            for head in range(2):
                part = dict(k=k[head], v=v[head])[pairs[0][0]]
                part = part / part.norm(dim=1)[:, None] * part.norm(dim=1).mean()
                scores = part @ part.T / part.shape[1]**0.5 + (gaussian(10, 14, std, before) if std else 0)
                mixed.append(scores.softmax(1) @ v[head])
            y = pool.proj(torch.cat(mixed, dim=1))[before:]
            found.append(theirs.head(trunk.head(y + pool.mlp(pool.norm(y)))))
        assert relative(dense_tower(own, dense)(images)[0], as_map(torch.stack(found), images, 16)) < EXACT

    @pytest.mark.parametrize('dense', LATENT_VARIANTS)
    @pytest.mark.parametrize('name', POOLS)
    def test_idle_parameters_are_those_without_a_gradient(self, towers, name, dense):
        idle, listed = idle_and_listed(dense_tower(towers(name)[0], dense), 48, 64)
        pool = 'visual.trunk.attn_pool.'
        assert idle == listed == {f'{pool}latent', f'{pool}q.weight', f'{pool}q.bias'}

    @pytest.mark.parametrize('dense, reason', [
        ('qq', "needs a ResNet with an attention pool, but CLIP 'x' has a ViT"),
        ('clearclip', 'needs a ViT with a class token, but CLIP'),
        ('naclip', 'one of maskclip, value, kk, vv, proxy.'),
        ('best', 'unknown: expected one of maskclip, value, kk, vv, proxy'),
        (dict(pairs=['qk']), "dense.pairs reads q of each token, but CLIP 'x' has a ViT with an attention pool, which"),
        (dict(type='kk', residual=True), "sets residual, but CLIP 'x' has a ViT with an attention pool")], ids=str)
    def test_formulas_of_other_towers_are_refused(self, towers, dense, reason):
        refused(lambda: dense_tower(towers('PE-Core-B-16')[0], dense, 'x'), reason)


def naive_class_token(visual, images, name):
    """Dense features (B, D, h, w) of a class-token tower: timm's own blocks around an attention with all scores."""
    trunk, middle, seen = visual.trunk, [], {}
    last = trunk.blocks[-1]

    def attend(q, k, v, **unused):
        middle.append(soft(q, k))
        if len(middle) < len(trunk.blocks):
            return middle[-1] @ v
        gauss = gaussian(images.shape[2] // 16, images.shape[3] // 16, 5, trunk.num_prefix_tokens)
        return NAIVE_WEIGHTS[name](q, k, v, gauss, middle[5:9]) @ v

    handles = [last.register_forward_pre_hook(lambda module, args: seen.update(x=args[0])),
               last.norm1.register_forward_hook(lambda module, args, out: seen.update(norm1=out)),
               last.norm2.register_forward_pre_hook(lambda module, args: seen.update(middle=args[0]))]
    with mock.patch.object(F, 'scaled_dot_product_attention', attend):
        y = trunk.forward_features(images)
    for handle in handles:
        handle.remove()
    assert len(middle) == len(trunk.blocks)
    if name not in WITH_RESIDUAL:
        y = trunk.norm(seen['norm1'] if isinstance(last, EvaBlockPostNorm) else seen['middle'] - seen['x'])
    y = y[:, trunk.num_prefix_tokens:]
    return as_map(visual.head(alone(trunk.forward_head, y)), images, 16)


class TestClassTokens:

    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('dense', VIT_VARIANTS)
    @pytest.mark.parametrize('name', CLASS_TOKENS)
    def test_equal_the_naive_form(self, towers, name, dense, size):
        own, theirs = towers(name)
        tower, images = dense_tower(own, dense), images_of(*size)
        found, = tower(images)
        assert relative(found, naive_class_token(theirs, images, dense)) < EXACT
        assert relative(found, singles(tower, images)) < EXACT

    @pytest.mark.parametrize('dense', ['maskclip', 'value', 'naclip'])
    def test_mobileclip_equals_the_naive_form(self, towers, dense):
        own, theirs = towers('MobileCLIP-B')
        images = images_of(48, 80)
        assert relative(dense_tower(own, dense)(images)[0], naive_class_token(theirs, images, dense)) < EXACT

    @pytest.mark.parametrize('name', CLASS_TOKENS)
    def test_maskclips_last_block_sees_each_token_alone(self, towers, name):
        own, theirs = towers(name)
        images, seen, trunk = images_of(160, 224), {}, theirs.trunk
        handle = trunk.blocks[-1].register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
        theirs(images)
        handle.remove()
        tokens = trunk.norm(alone(trunk.blocks[-1], seen['x'])[:, 1:, 0])
        expected = theirs.head(trunk.head(trunk.fc_norm(tokens)))
        assert relative(dense_tower(own)(images)[0], as_map(expected, images, 16)) < EXACT

    @pytest.mark.parametrize('dense', VIT_VARIANTS)
    @pytest.mark.parametrize('name', CLASS_TOKENS)
    def test_idle_parameters_are_those_without_a_gradient(self, towers, name, dense):
        tower = dense_tower(towers(name)[0], dense)
        idle, listed = idle_and_listed(tower, 32, 48)
        assert idle == listed
        assert any('.mlp.' in one for one in idle) == (dense not in WITH_RESIDUAL)
        assert tower.idle_parameters(out_indices=(9, )) == []

    def test_blocks_that_do_not_precede_the_last_are_refused(self, towers):
        refused(lambda: dense_tower(towers('MobileCLIP-B')[0], 'resclip', 'x'), "'x' has only the blocks 0 to 0 before")


class TestCells:

    @pytest.mark.parametrize('dense', ['maskclip', 'value'])
    @pytest.mark.parametrize('name', CELLS)
    def test_an_image_of_one_cell_has_its_own_embedding(self, towers, name, dense):
        own, theirs = towers(name)
        images = images_of(32, 32)
        assert relative(dense_tower(own, dense)(images)[0].flatten(1), theirs(images)) < 1e-12

    @pytest.mark.parametrize('name', CELLS)
    def test_each_cell_is_pooled_alone(self, towers, name):
        own, theirs = towers(name)
        images, tower = images_of(160, 224), dense_tower(own)
        found, = tower(images)
        cells = theirs.trunk.forward_features(images)
        for row, column in ((0, 0), (3, 6), (4, 2)):
            expected = theirs.head(theirs.trunk.forward_head(cells[:, :, row:row + 1, column:column + 1]))
            assert relative(found[:, :, row, column], expected) < EXACT
        assert found.shape == (2, tower.embed_dim, 5, 7)
        assert relative(found, singles(tower, images)) < EXACT

    @pytest.mark.parametrize('name', CELLS)
    def test_no_parameter_is_idle(self, towers, name):
        assert idle_and_listed(dense_tower(towers(name)[0]), 64, 64) == (set(), set())

    @pytest.mark.parametrize('dense, reason', [
        ('kk', 'has an average pool without attention: expected one of maskclip, value.'),
        (dict(pairs=['kk']), 'which gives tokens none of q, k and v alone: choose maskclip')], ids=str)
    def test_formulas_of_other_towers_are_refused(self, towers, dense, reason):
        refused(lambda: dense_tower(towers('convnext_base')[0], dense, 'x'), reason)


@pytest.mark.parametrize('name', [POOLS[0], POOLS[2], CLASS_TOKENS[0], CELLS[0], CELLS[2]])
class TestAll:

    def test_the_towers_own_embedding_stays(self, towers, name):
        images, own = images_of(64, 64), small_tower(name)
        before = own(images)
        dense_tower(own)
        assert torch.equal(own(images), before)

    def test_outputs_of_layers_are_timms(self, towers, name):
        own, theirs = towers(name)
        images, tower = images_of(64, 96), dense_tower(own)
        layers = range(len(tower.channels))
        *found, dense = tower(images, layers)
        expected = theirs.trunk.forward_intermediates(images, indices=list(layers), intermediates_only=True)
        assert [one.shape[1] for one in found] == list(tower.channels)
        assert all(relative(one, other) < EXACT for one, other in zip(found, expected, strict=True))
        assert torch.equal(dense, tower(images)[0])

    def test_single_precision_and_autocast_agree(self, towers, name):
        tower, images = dense_tower(small_tower(name)), images_of(64, 96)
        expected, = tower(images)
        tower.float()
        assert relative(tower(images.float())[0].double(), expected) < 1e-3
        with torch.autocast('cpu', torch.bfloat16):
            assert relative(tower(images.float())[0].double(), expected) < 0.2


@pytest.mark.parametrize('trunk, settings', [
    ('vit_tiny_patch16_224', dict(pool='avg')), ('resnet18', dict(pool='avg')), ('swin_tiny_patch4_window7_224', {}),
    ('vit_small_patch16_rope_mixed_224', dict(pool='avg')),
    ('convnext_atto', dict(pool='rot_attn', proj=''))], ids=str)
def test_towers_without_dense_features_are_refused(trunk, settings):
    small = dict(depths=(1, 1, 1, 1), dims=(64, ) * 4) if 'convnext' in trunk else {}
    build = timm.create_model
    with mock.patch.object(timm, 'create_model', lambda *args, **kwargs: build(*args, **kwargs, **small)):
        visual = TimmModel(trunk, 16, **settings)
    refused(lambda: dense_tower(visual, name='odd'), f"tower of CLIP 'odd' is a {type(visual.trunk).__name__}, which")
