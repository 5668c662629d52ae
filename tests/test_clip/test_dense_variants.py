"""Dense variants against their formulas, written out with all N x N scores in float64."""
import pytest
import torch
from fixtures.lanes import FUSED_BIAS
from fixtures.naive_attention import (
    NAIVE_WEIGHTS,
    WITH_RESIDUAL,
    Shapes,
    gaussian,
    idle_and_listed,
    relative,
    soft,
)
from fixtures.refusals import refused
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import nn

from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.dense_variants import (
    CLASS_TOKEN,
    POOL_VARIANTS,
    RESNET_POOL,
    VIT_VARIANTS,
    DenseVariant,
    attend_densely,
    find_variant,
    neighbour_bias,
)

SIZES = [(64, 64), (160, 224), (16, 112)]  # a square, the axes told apart, one row of patches


def heads_of(block, x):
    """Queries, keys and values (B, heads, N, d) of a block with two heads."""
    x = block.ln_1(x) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
    return [part.reshape(*part.shape[:2], 2, -1).transpose(1, 2) for part in x.chunk(3, dim=-1)]


def naive_vit(tower, images, name):
    """Dense features (B, D, h, w) with every score held; only open_clip's own blocks before the last."""
    visual = tower.visual
    rows, columns = (side // 16 for side in images.shape[2:])
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], 1) + tower._positions((rows, columns))
    x, middle = visual.ln_pre(x), []
    *blocks, last = visual.transformer.resblocks
    for number, block in enumerate(blocks, 1):
        if 6 <= number <= 9:
            q, k, _ = heads_of(block, x)
            middle.append(soft(q, k))
        x = block(x)
    q, k, v = heads_of(last, x)
    weights = NAIVE_WEIGHTS[name](q, k, v, gaussian(rows, columns, 5, 1), middle)
    y = last.ls_1(last.attn.out_proj((weights @ v).transpose(1, 2).flatten(2)))
    if name in WITH_RESIDUAL:
        y = x + y
        y = y + last.ls_2(last.mlp(last.ln_2(y)))
    return (visual.ln_post(y) @ visual.proj)[:, 1:].transpose(1, 2).reshape(len(x), -1, rows, columns)


@pytest.fixture(scope='module')
def vit():
    torch.manual_seed(0)
    visual = VisionTransformer(image_size=64, patch_size=16, width=32, layers=10, heads=2, mlp_ratio=2., output_dim=24,
                               ls_init_value=0.7)
    for name, parameter in visual.named_parameters():
        if parameter.dim() == 1 or 'in_proj' in name:  # biases, which start at 0, and sharper attention
            nn.init.normal_(parameter, std=0.5)
    return visual.double().eval().requires_grad_(False)


@pytest.fixture(scope='module')
def resnet():
    torch.manual_seed(0)
    visual = ModifiedResNet(layers=[1, 1, 1, 1], output_dim=24, heads=4, image_size=64, width=8)
    for name, parameter in visual.named_parameters():
        if name.endswith('bn3.weight') or name.startswith('attnpool'):
            nn.init.normal_(parameter, std=0.5)
    return visual.double().eval().requires_grad_(False)


class TestVariantsOfViTs:

    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('name', VIT_VARIANTS)
    def test_equal_the_naive_form_in_float64(self, vit, name, size):
        tower, images = dense_tower(vit, name), torch.randn(2, 3, *size, dtype=torch.float64)
        found, = tower(images)
        assert found.shape == (2, 24, size[0] // 16, size[1] // 16)
        assert relative(found, naive_vit(tower, images, name)) < 1e-10
        assert relative(found, torch.cat([tower(image[None])[0] for image in images])) < 1e-10

    def test_all_rows_differ(self, vit):
        images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
        found = [dense_tower(vit, name)(images)[0] for name in VIT_VARIANTS]
        assert min(relative(one, other) for i, one in enumerate(found) for other in found[:i]) > 1e-3

    @pytest.mark.parametrize('name', [pytest.param(name, marks=FUSED_BIAS) if row.neighbourhood else name
                                      for name, row in VIT_VARIANTS.items()])
    def test_no_scores_of_all_pairs_are_held(self, vit, name):
        with torch.no_grad(), Shapes() as seen:
            dense_tower(vit, name)(torch.randn(2, 3, 160, 224, dtype=torch.float64))
        squares = {shape for shape in seen.shapes if shape[-2:] == (141, 141)}
        assert squares == ({(141, 141)} if VIT_VARIANTS[name].neighbourhood else set())  # G alone, once for all heads

    def test_outputs_of_blocks_are_those_of_maskclip(self, vit):
        images, blocks = torch.randn(1, 3, 64, 96, dtype=torch.float64), range(10)
        expected = dense_tower(vit)(images, blocks)[:-1]
        found = dense_tower(vit, 'resclip')(images, blocks)[:-1]
        assert len(found) == 10 and all(relative(one, other) < 1e-12 for one, other in zip(found, expected))

    def test_clearclip_without_queries_gives_every_patch_the_mean_value(self, vit):
        images, block = torch.randn(1, 3, 48, 64, dtype=torch.float64), vit.transformer.resblocks[-1]
        tower = dense_tower(vit, 'clearclip')
        values = []
        handle = block.attn.out_proj.register_forward_hook(lambda module, inputs, output: values.append(inputs[0]))
        kept = block.attn.in_proj_weight.clone(), block.attn.in_proj_bias.clone()
        try:
            dense_tower(vit, 'value')(images)
            block.attn.in_proj_weight[:32] = 0
            block.attn.in_proj_bias[:32] = 0
            tower(images)
        finally:
            handle.remove()
            block.attn.in_proj_weight.copy_(kept[0]), block.attn.in_proj_bias.copy_(kept[1])
        own, mixed = values
        assert own.shape == mixed.shape == (1, 13, 32)  # the class token counts
        assert torch.allclose(mixed, own.mean(dim=1, keepdim=True).expand_as(own), atol=1e-12)

    @pytest.mark.parametrize('name', [name for name, row in VIT_VARIANTS.items() if row.pairs and not row.residual])
    def test_bare_variants_of_a_constant_value_are_constant(self, vit, name):
        block = vit.transformer.resblocks[-1]
        kept = block.attn.in_proj_weight.clone()
        try:
            block.attn.in_proj_weight[64:] = 0
            features, = dense_tower(vit, name)(torch.randn(2, 3, 48, 64, dtype=torch.float64))
        finally:
            block.attn.in_proj_weight.copy_(kept)
        assert torch.allclose(features, features[:1, :, :1, :1].expand_as(features), atol=1e-12)

    @pytest.mark.parametrize('name', VIT_VARIANTS)
    def test_idle_parameters_are_those_without_a_gradient(self, vit, name):
        tower = dense_tower(vit, name)
        idle, listed = idle_and_listed(tower, 64, 64)
        assert idle == listed and bool(idle) == (name not in WITH_RESIDUAL)
        assert tower.idle_parameters(out_indices=(9, )) == []  # the whole last block is used


class TestWeights:
    """``attend_densely`` on queries, keys and values of our own choice, (1, N, heads, d)."""

    def test_long_orthogonal_queries_give_each_token_its_own_value(self):
        value = torch.randn(1, 7, 2, 8, dtype=torch.float64)
        query = 1e4 * torch.eye(8, dtype=torch.float64)[:7, None].expand(7, 2, 8)[None]
        found = attend_densely(VIT_VARIANTS['clearclip'], dict(q=query), value, (2, 3))
        assert torch.allclose(found, value, atol=1e-12)

    @pytest.mark.parametrize('name, factor', [('sclip', 2), ('segearth', 3), ('naclip', 1), ('resclip', 2)])
    def test_rows_sum_to_the_papers_factor(self, name, factor):
        parts = {letter: torch.randn(1, 7, 2, 8) for letter in 'qkv'}
        middle = [(parts['q'], parts['k'])] * 4 if name == 'resclip' else []
        found = attend_densely(VIT_VARIANTS[name], parts, torch.ones(1, 7, 2, 8), (2, 3), middle=middle)
        assert torch.allclose(found, torch.full_like(found, factor))

    def test_a_wide_neighbourhood_only_lowers_the_class_tokens_weight_by_e(self):
        scores = torch.eye(7)[None, :, None]  # values that show the weights, (1, N, 1, N)
        keys = torch.randn(1, 7, 1, 7)
        wide = attend_densely(DenseVariant(('kk', ), neighbourhood=1e6), dict(k=keys), scores, (2, 3))[0, 1:, 0]
        plain = attend_densely(VIT_VARIANTS['kk'], dict(k=keys), scores, (2, 3))[0, 1:, 0]
        odds = (wide[:, 1:] / wide[:, :1]) / (plain[:, 1:] / plain[:, :1])
        assert torch.allclose(odds, torch.full_like(odds, torch.e), rtol=1e-4)

    def test_a_narrow_neighbourhood_is_the_identity_on_patches(self):
        found = neighbour_bias((2, 3), 1e-3, 1, torch.zeros(1, dtype=torch.float64))
        assert torch.equal(found, torch.diag(torch.tensor([0., 1, 1, 1, 1, 1, 1], dtype=torch.float64)))

    @pytest.mark.parametrize('grid', [(3, 5), (1, 6)])
    def test_neighbourhood_of_the_loop(self, grid):
        found = neighbour_bias(grid, 1.5, 1, torch.zeros(1, dtype=torch.float64))
        assert torch.allclose(found, gaussian(*grid, 1.5, 1), atol=1e-12)


def naive_pool(tower, images, letters, std=None):
    """Dense features (B, D, h, w) of a ResNet: scores of q, k or v whose norms are set to their mean per head."""
    pool, visual = tower.visual.attnpool, tower.visual
    cells = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
    rows, columns = cells.shape[2:]
    results = []
    for image in cells:
        tokens = image.flatten(1).T
        parts = {letter: getattr(pool, f'{letter}_proj')(tokens).chunk(4, dim=1) for letter in 'qkv'}
        mixed = []
        for head in range(4):
            weights = torch.zeros(rows * columns, rows * columns, dtype=torch.float64)
            for a, b in letters:
                a, b = ((part / part.norm(dim=1)[:, None]) * part.norm(dim=1).mean()
                        for part in (parts[a][head], parts[b][head]))
                scores = a @ b.T / a.shape[1]**0.5
                weights += (scores if std is None else scores + gaussian(rows, columns, std, 0)).softmax(1)
            mixed.append((weights if letters else torch.eye(rows * columns, dtype=torch.float64)) @ parts['v'][head])
        results.append(pool.c_proj(torch.cat(mixed, dim=1)).T.reshape(-1, rows, columns))
    return torch.stack(results)


class TestVariantsOfAttentionPools:

    @pytest.mark.parametrize('size', [(64, 64), (160, 224), (32, 224)], ids=str)
    @pytest.mark.parametrize('dense, letters, std', [
        ('maskclip', [], None), ('value', [], None), ('kk', ['kk'], None), ('qq', ['qq'], None), ('vv', ['vv'], None),
        (dict(type='kk', neighbourhood=2.), ['kk'], 2.), (dict(pairs=['qk', 'vv']), ['qk', 'vv'], None)], ids=str)
    def test_equal_the_naive_form_in_float64(self, resnet, dense, letters, std, size):
        tower, images = dense_tower(resnet, dense), torch.randn(2, 3, *size, dtype=torch.float64)
        found, = tower(images)
        assert relative(found, naive_pool(tower, images, letters, std)) < 1e-10
        assert relative(found, torch.cat([tower(image[None])[0] for image in images])) < 1e-10

    @pytest.mark.parametrize('name, used', [('maskclip', ''), ('value', ''), ('kk', 'k'), ('qq', 'q'), ('vv', '')])
    def test_idle_parameters_are_those_without_a_gradient(self, resnet, name, used):
        idle, listed = idle_and_listed(dense_tower(resnet, name), 64, 96)
        pool = 'visual.attnpool.'
        assert idle == listed == {f'{pool}positional_embedding', *(
            f'{pool}{letter}_proj.{kind}' for letter in 'qk' if letter != used for kind in ('weight', 'bias'))}


class TestComposed:

    @pytest.mark.parametrize('dense, expected', [
        (dict(type='naclip'), VIT_VARIANTS['naclip']), (dict(pairs=['qq', 'kk'], residual=True), VIT_VARIANTS['sclip']),
        (dict(type='naclip', neighbourhood=3), DenseVariant(('kk', ), neighbourhood=3)),
        (dict(type='sclip', residual=False), DenseVariant(('qq', 'kk'))), (dict(), VIT_VARIANTS['value'])], ids=str)
    def test_a_dict_changes_a_row(self, dense, expected):
        assert find_variant(dense, CLASS_TOKEN, 'x') == expected

    def test_a_variant_says_its_name_or_its_fields(self):
        assert str(VIT_VARIANTS['naclip']) == "'naclip'"
        assert "'neighbourhood': 3.0" in str(DenseVariant(('kk', ), neighbourhood=3.))

    @pytest.mark.parametrize('dense, reason', [
        ('best', "variant 'best' is unknown: expected one of maskclip, value, sclip, clearclip, kk, naclip, segearth"),
        ('vv', "variant 'vv' needs a ResNet with an attention pool or a ViT with an attention pool, but CLIP 'x'"),
        (dict(type='best'), "'best' is unknown"), (dict(type=['kk']), "'['kk']' is unknown"),
        (3, 'dense variant is 3, a int: expected a name'), (None, 'dense variant is None'),
        (dict(pair=['kk']), "unknown key 'pair': expected type, pairs, neighbourhood"),
        (dict(pairs='kk'), "pairs is 'kk': expected a list of qq, qk"), (dict(pairs=['ab']), 'dense.pairs is'),
        (dict(pairs=[['k', 'k']]), 'dense.pairs is'),
        (dict(type='naclip', neighbourhood=0), 'dense.neighbourhood, in patches, is 0'),
        (dict(type='naclip', neighbourhood='5'), "in patches, is '5'"), (dict(type='kk', scale=0), 'scale is 0'),
        (dict(type='kk', residual=1), 'residual is 1: expected True or False'),
        (dict(type='resclip', middle=[-1]), 'middle is [-1]: expected a list of block numbers'),
        (dict(type='resclip', middle=[True]), 'middle is'), (dict(type='resclip', middle=[]), 'or neither'),
        (dict(type='resclip', middle_share=0), 'or neither'), (dict(type='resclip', middle_share=2), 'share is 2'),
        (dict(type='kk', middle_share=.5), 'or neither'), (dict(neighbourhood=5.), 'without pairs'),
        (dict(scale=2.), 'without pairs'), (dict(type='maskclip', neighbourhood=5.), 'without pairs')], ids=str)
    def test_mistakes_get_one_sentence(self, dense, reason):
        refused(lambda: find_variant(dense, CLASS_TOKEN, 'x'), reason)

    @pytest.mark.parametrize('dense, reason', [
        ('best', "'best' is unknown: expected one of maskclip, value, kk, qq, vv"),
        *[(name, f"'{name}' needs a ViT with a class token, but CLIP 'x' has a ResNet")
          for name in VIT_VARIANTS if name not in POOL_VARIANTS],
        (dict(type='kk', residual=True), "sets residual, but CLIP 'x' has a ResNet with an attention pool"),
        (dict(type='kk', middle=[1], middle_share=.5), 'sets middle, but')], ids=str)
    def test_a_pool_refuses_the_formulas_of_vits(self, dense, reason):
        refused(lambda: find_variant(dense, RESNET_POOL, 'x'), reason)

    @pytest.mark.parametrize('middle', [[5], [7, 40]])
    def test_blocks_that_do_not_precede_the_last_are_refused(self, middle):
        visual = VisionTransformer(image_size=32, patch_size=16, width=32, layers=6, heads=2, mlp_ratio=2.)
        refused(lambda: dense_tower(visual, dict(type='resclip', middle=middle), 'odd'),
                "'odd' has only the blocks 0 to 4 before its last one")
        assert dense_tower(visual, dict(type='resclip', middle=[4]), 'odd').variant.middle == (4, )
