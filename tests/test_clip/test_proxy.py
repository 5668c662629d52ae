"""Proxies: their images, their tokens, and their weights from files of various origins."""
import pytest
import timm
import torch
from fixtures.proxies import DINO, DINOV2
from fixtures.refusals import refused
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from mmseg_mvp.clip import proxy
from mmseg_mvp.clip.dense_variants import AVERAGE_POOL, CLASS_TOKEN, LATENT_POOL, RESNET_POOL, find_variant
from mmseg_mvp.clip.proxy import Proxy, ProxyVariant, load_proxy

CLIP = OPENAI_DATASET_MEAN, OPENAI_DATASET_STD


def small(name, **settings):
    """A model of timm whose parameters are not those of the start."""
    model = timm.create_model(name, num_classes=0, dynamic_img_size=True, **settings)
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def load(weights, model=DINO):
    return load_proxy(ProxyVariant(model, weights=str(weights)), *CLIP)


def of_meta(state):
    """Weights of timm's DINOv2 in the names of its authors: positions also cover the class token."""
    pos = torch.cat([torch.full_like(state['cls_token'], 0.25), state['pos_embed']], dim=1)
    rest = {key: value for key, value in state.items() if key not in ('cls_token', 'pos_embed', 'reg_token')}
    return dict(rest, cls_token=state['cls_token'] - 0.25, pos_embed=pos, register_tokens=state['reg_token'],
                mask_token=torch.zeros(1, 24))


class TestFeatures:

    @pytest.mark.parametrize('name', [DINO, DINOV2])
    def test_images_are_normalised_as_the_proxy_expects(self, name):
        proxy, seen = load_proxy(ProxyVariant(name, pretrained=False), *CLIP), []
        proxy.model.patch_embed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        pixels = torch.rand(2, 3, 3 * proxy.patch, 5 * proxy.patch)
        mean, std, own_mean, own_std = (torch.tensor(values)[:, None, None] for values in
                                        (*CLIP, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
        found = proxy(((pixels - mean) / std).requires_grad_(), (3, 5))
        assert not found.requires_grad
        assert torch.allclose(seen[0], (pixels - own_mean) / own_std, atol=1e-5)
        assert found.shape == (2, 15, 24) and torch.allclose(found.norm(dim=-1), torch.ones(2, 15), atol=1e-5)

    def test_class_token_and_registers_are_left_out(self):
        model = small(DINOV2)
        images = torch.randn(1, 3, 56, 56)
        own = model.pretrained_cfg['mean'], model.pretrained_cfg['std']
        found = Proxy(model, *own)(images, (4, 4))
        every = model.forward_features(images)  # class token, 4 registers, 16 patches
        assert every.shape == (1, 21, 24)
        assert torch.allclose(found, every[:, 5:] / every[:, 5:].norm(dim=-1, keepdim=True), atol=1e-5)

    def test_an_image_of_another_patch_size_is_resized_to_the_grid(self):
        proxy, seen = Proxy(small(DINOV2), *CLIP), []
        proxy.model.patch_embed.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        assert proxy(torch.full((1, 3, 32, 48), 0.5), (2, 3)).shape == (1, 6, 24)
        assert seen[0].shape == (1, 3, 28, 42)
        flat = seen[0][..., :1, :1]
        assert torch.allclose(seen[0], flat.expand_as(seen[0]), atol=1e-5)  # a flat image stays flat

    def test_a_vit_with_rotary_positions(self, tmp_path):
        name, images = 'eva02_tiny_patch14_224', torch.randn(2, 3, 28, 56)
        expected = load_proxy(ProxyVariant(name, pretrained=False), *CLIP)
        torch.save(expected.model.state_dict(), tmp_path / 'eva.pth')
        found = load(tmp_path / 'eva.pth', name)(images, (2, 4))
        assert found.shape == (2, 8, 192) and torch.equal(found, expected(images, (2, 4)))

    def test_random_weights_are_the_same_in_every_process(self):
        state = torch.random.get_rng_state()
        one, other = (load_proxy(ProxyVariant(DINO, pretrained=False), *CLIP).state_dict() for _ in range(2))
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert torch.equal(torch.random.get_rng_state(), state)


class TestWeightsFile:

    @pytest.mark.parametrize('layout', [
        lambda state: state, lambda state: dict(model=state),
        lambda state: dict(student={f'module.backbone.{key}': 0 * value for key, value in state.items()},
                           teacher={f'backbone.{key}': value for key, value in state.items()}, epoch=3),
        lambda state: dict(state, **{'head.weight': torch.ones(10, 24), 'head.bias': torch.ones(10)})],
        ids=['timm', 'nested', 'training of DINO', 'with a classifier'])
    def test_every_layout_gives_the_same_model(self, layout, tmp_path):
        wanted = small(DINO).state_dict()
        torch.save(layout(wanted), tmp_path / 'dino.pth')
        found = load(tmp_path / 'dino.pth').model.state_dict()
        assert found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)

    def test_safetensors_and_the_names_of_dinov2(self, tmp_path):
        wanted = small(DINOV2).state_dict()
        save_file(of_meta(wanted), tmp_path / 'dinov2.safetensors')
        found = load(tmp_path / 'dinov2.safetensors', DINOV2).model.state_dict()
        assert all(torch.allclose(found[key], wanted[key], atol=1e-6) for key in wanted)

    def test_positions_of_another_image_size_are_resized(self, tmp_path):
        state = small(DINO, img_size=64).state_dict()
        state['pos_embed'][:, 1:] = 0.5
        torch.save(state, tmp_path / 'dino.pth')
        found = load(tmp_path / 'dino.pth').model.pos_embed
        assert found.shape == (1, 17, 24) and torch.allclose(found[:, 1:], torch.full((1, 16, 24), 0.5))
        assert torch.equal(found[:, 0], state['pos_embed'][:, 0])

    @pytest.mark.parametrize('change, words', [
        (lambda state: small(DINO, patch_size=16).state_dict(), ['patch_embed.proj.weight with shape (24, 3, 16, 16)']),
        (lambda state: small(DINO, depth=3).state_dict(), ['blocks.2.norm1.weight is extra and 11 more']),
        (lambda state: small(DINO, depth=1).state_dict(), ['blocks.1.norm1.weight is missing']),
        (lambda state: small(DINO, mlp_ratio=3).state_dict(), ['blocks.0.mlp.fc1.weight has shape (72, 24)']),
        (lambda state: small(DINOV2, patch_size=8, img_size=32).state_dict(), ["'tiny_dino'"]),
        (lambda state: {'conv1.weight': torch.ones(8, 3, 7, 7)}, ['expected one patch_embed.proj.weight, found none']),
        (lambda state: dict(a=state, b=state), ['found 2 such tensors']),
        (lambda state: dict(state, pos_embed=torch.ones(3)), ["'tiny_dino'"]),
        (lambda state: dict(state, cls_token=torch.full((1, 1, 24), float('nan'))), ['NaN', 'cls_token'])],
        ids=['patch', 'deeper', 'shallower', 'wider', 'registers', 'no ViT', 'two', 'positions', 'NaN'])
    def test_another_model_is_refused(self, change, words, tmp_path):
        torch.save(change(small(DINO).state_dict()), tmp_path / 'other.pth')
        refused(lambda: load(tmp_path / 'other.pth'), 'other.pth', *words)

    def test_a_damaged_file_is_refused(self, tmp_path):
        (tmp_path / 'dino.pth').write_bytes(b'nothing')
        refused(lambda: load(tmp_path / 'dino.pth'), 'dino.pth')


class TestRefused:

    @pytest.mark.parametrize('settings, words', [
        (dict(model='vit_base_patch8_244.dino'), ["no timm model 'vit_base_patch8_244.dino'", 'similar: vit_base_pat']),
        (dict(model='hf-hub:a/b'), ["no timm model 'hf-hub:a/b'", 'expected a ViT of timm']),
        (dict(model='vit_base_patch8_224.dyno'), ["'vit_base_patch8_224.dyno' can't be loaded", 'dyno', 'check the']),
        (dict(model=DINO), ["'tiny_dino' can't be loaded from timm", 'set dense.weights to the file']),
        (dict(model=DINO, weights='dino.pth'), ["The weights 'dino.pth' of the proxy 'tiny_dino' do not exist"]),
        (dict(model='resnet18', pretrained=False), ["'resnet18' gives no patch tokens", 'expected a plain ViT']),
        (dict(model='vit_tiny_r_s16_p8_224', pretrained=False), ['gives no patch tokens'])],
        ids=lambda value: str(value)[:40])
    def test_models_and_weights(self, settings, words):
        refused(lambda: load_proxy(ProxyVariant(**settings), *CLIP), *words)

    def test_a_download_without_network(self, monkeypatch):
        def create_model(*args, **kwargs):
            raise OSError('Could not reach\nthe hub')
        monkeypatch.setattr(timm, 'create_model', create_model)
        monkeypatch.setattr(proxy, 'unreachable_hub', lambda repository: None)
        refused(lambda: load_proxy(ProxyVariant(), *CLIP), "'vit_base_patch8_224.dino' can't be loaded from timm "
                '(Could not reach the hub): check the name and the network')

    def test_a_hub_out_of_reach_is_not_waited_for(self, monkeypatch):
        monkeypatch.setattr(timm, 'create_model', lambda *args, **kwargs: pytest.fail('timm was asked'))
        monkeypatch.setattr(proxy, 'timm_at_hand', lambda name: False)
        monkeypatch.setattr(proxy, 'unreachable_hub', lambda repository: f'no answer of {repository}')
        refused(lambda: load_proxy(ProxyVariant(), *CLIP), 'no answer of timm/vit_base_patch8_224.dino',
                'https://dl.fbaipublicfiles.com/dino/', 'https://huggingface.co/timm/vit_base_patch8_224.dino')

    @pytest.mark.parametrize('kind', [CLASS_TOKEN, RESNET_POOL, LATENT_POOL], ids=lambda kind: kind.title)
    @pytest.mark.parametrize('settings, words', [
        (dict(model=3), 'dense.model is 3, a int: expected text'),
        (dict(weights=True), 'dense.weights is True, a bool: expected text; give the path of a file, or omit it'),
        (dict(pretrained='dino.pth'), "dense.pretrained is 'dino.pth': expected True or False; set dense.weights"),
        (dict(threshold=-1), 'dense.threshold is -1'), (dict(threshold='1'), "dense.threshold is '1'"),
        (dict(sharpness=0), 'dense.sharpness is 0'), (dict(sharpness=True), 'dense.sharpness is True'),
        (dict(pairs=['kk']), "unknown key 'pairs': expected type, model, pretrained, weights, threshold, sharpness"),
        (dict(scale=2.), "unknown key 'scale'")], ids=lambda value: str(value)[:40])
    def test_settings(self, settings, words, kind):
        refused(lambda: find_variant(dict(type='proxy', **settings), kind, 'x'), words)

    def test_its_keys_belong_to_no_other_variant(self):
        refused(lambda: find_variant(dict(type='kk', threshold=1.), CLASS_TOKEN, 'x'), "unknown key 'threshold'")

    def test_cells_without_values_are_not_mixed(self):
        refused(lambda: find_variant('proxy', AVERAGE_POOL, 'x'), "'proxy' needs a ViT with a class token or a ResNet",
                "but CLIP 'x' has an average pool without attention")
