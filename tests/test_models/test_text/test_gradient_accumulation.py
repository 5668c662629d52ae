"""Gradient accumulation with one pass of the text tower: the same gradients, fewer passes."""
import copy
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fixtures import train_rank
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS
from torch import nn

from mmseg_mvp.engine import TextOncePerStepHook
from mmseg_mvp.models import TextClassifier
from mmseg_mvp.models.text import prompts as prompts_module


class Model(nn.Module):
    def __init__(self, clip):
        super().__init__()
        torch.manual_seed(0)
        self.classifier = TextClassifier(clip, dict(type='LearnedPrompts', num_prompts=2, context_length=3),
                                         ['cat', 'traffic light', 'dog'])

    def loss(self, seed):
        torch.manual_seed(seed)
        contexts = self.classifier.prompts.seg_contexts  # a second way to the prompts, as OCLoss has
        return (self.classifier.embeddings() * torch.randn(3, 3, self.classifier.embed_dim)).sum() + contexts.norm()


def train(model, hook, iterations=7, count=3):
    """Seven micro-batches, three a step, the last step of one: what a Runner does."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01), accumulative_counts=count)
    wrapper.initialize_count_status(model, 0, iterations)
    weights = []
    for iteration in range(iterations):
        if hook:
            hook.before_train_iter(SimpleNamespace(model=model, optim_wrapper=wrapper), iteration)
        wrapper.update_params(model.loss(iteration))
        weights.append(model.classifier.prompts.contexts.detach().clone())
    return weights


def test_the_tower_runs_once_a_step_and_the_weights_are_the_same(tiny_rn, monkeypatch):
    passes = []
    monkeypatch.setattr(prompts_module, 'encode_prompts', lambda *args, encode=prompts_module.encode_prompts:
                        passes.append(1) or encode(*args))
    model = Model(tiny_rn)
    twin = copy.deepcopy(model)
    expected = train(model, None)
    assert len(passes) == 7
    passes.clear()
    found = train(twin, TextOncePerStepHook())
    assert len(passes) == 3
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected))
    assert not torch.equal(expected[0], expected[2]) and torch.equal(expected[0], expected[1])


def test_loading_or_another_list_within_a_step_is_not_missed(tiny_rn):
    model = Model(tiny_rn)
    model.classifier.accumulation.is_last = False
    first = model.classifier.embeddings()
    assert torch.equal(model.classifier.embeddings(), first)
    model.classifier.train_vocabulary = model.classifier.read_vocabulary(['cat', 'dog'])
    assert model.classifier.embeddings().shape[1] == 2
    with torch.no_grad():
        model.classifier.prompts.contexts.mul_(2)
    changed = model.classifier.embeddings()
    assert not torch.allclose(changed, first[:, [0, 2]], atol=1e-4)
    model.classifier.accumulation.is_last = True
    (model.classifier.embeddings()).sum().backward()
    assert model.classifier.prompts.contexts.grad.abs().sum() > 0
    model.classifier.accumulation = type(model.classifier.accumulation)()
    assert torch.allclose(model.classifier.embeddings(), changed, atol=1e-6)


@pytest.mark.parametrize('training', [True, False])
def test_validation_within_a_step_leaves_the_sum_alone(tiny_rn, training):
    model, expected = Model(tiny_rn), Model(tiny_rn)
    model.classifier.accumulation.is_last = False
    model.loss(0).backward()
    model.train(training)
    with torch.no_grad():
        model.classifier.embeddings()
    model.train()
    model.classifier.accumulation.is_last = True
    model.loss(1).backward()
    (expected.loss(0) + expected.loss(1)).backward()
    grads = [one.classifier.prompts.contexts.grad for one in (model, expected)]
    assert torch.allclose(*grads, atol=1e-4)  # of gradients up to 32: some versions of torch sum in another order


def test_it_works_in_a_registered_head(tiny_rn):
    head = MODELS.build(dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes=['cat', 'dog']))
    TextOncePerStepHook().before_train_iter(
        SimpleNamespace(model=head, optim_wrapper=SimpleNamespace(should_sync=lambda: False)), 0)
    assert head.classifier.accumulation.is_last is False


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tiny_rn, tmp_path):
    root = Path(__file__).parents[3]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([os.environ.get('PYTHONPATH', ''), str(root)])}
    ranks = [subprocess.Popen([sys.executable, train_rank.__file__, str(rank), '2', str(tmp_path / 'store'),
                               tiny_rn['model']], cwd=tmp_path, env=env) for rank in range(2)]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    first, second = (torch.load(tmp_path / f'{rank}.pt', weights_only=True) for rank in range(2))
    expected, start = train_rank.train(tiny_rn['model'], [0, 1], shared=False), train_rank.build(tiny_rn['model'])
    assert torch.equal(first, second)
    assert torch.allclose(first, expected, atol=1e-5)
    assert not torch.allclose(first, start.decode_head.classifier.prompts.contexts, atol=1e-3)
