"""The protocol of training-free benchmarks against a naive evaluator that is written out here, pixel by pixel.

It knows only the files of the data set, open_clip's model, and the published steps: short side of 336, windows of 224
in steps of 112 whose cosines are enlarged to pixels and averaged, softmax over words at the size of the file, the
highest word of each class, area and probability thresholds, intersection over union from counted pixels.
"""
import cv2
import numpy as np
import open_clip
import pytest
import torch
from fixtures.builders import CONFIGS, file_labels
from fixtures.clip_builders import open_clip_model
from fixtures.naive_attention import NAIVE_WEIGHTS, gaussian
from fixtures.trees import write_voc
from mmengine.config import Config
from mmseg.registry import DATASETS, METRICS, MODELS
from PIL import Image

from mmseg_mvp.clip import load_clip
from mmseg_mvp.vocabularies import load_vocabulary

pytestmark = pytest.mark.usefixtures('mmseg_scope')
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])


class NaiveEvaluator:
    """Published evaluation of a ViT with patches of 16 pixels."""

    def __init__(self, model, dense, vocabulary, scale, prob_thd, area_thd):
        self.model, self.dense, self.scale = model.double(), dense, scale
        self.prob_thd, self.area_thd = prob_thd, area_thd
        self.classes = [number for number, words in enumerate(vocabulary.values()) for _ in words]
        self.text = np.stack([self.embed(word) for words in vocabulary.values() for word in words])  # (S, D)

    def embed(self, word):
        sentences = [template(word) for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
        with torch.no_grad():
            rows = self.model.encode_text(open_clip.tokenize(sentences)).numpy()
        mean = unit(rows).mean(axis=0)
        return mean / np.linalg.norm(mean)

    @torch.no_grad()
    def cosines(self, window):
        """Cosines (S, h, w) of a window (3, H, W) by all parts of open_clip's own tower but the last attention."""
        visual = self.model.visual
        x = visual.conv1(torch.from_numpy(window)[None])  # (1, width, h, w)
        rows, columns = x.shape[2:]
        x = torch.cat([visual.class_embedding.expand(1, 1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        x = visual.ln_pre(x + naive_positions(visual.positional_embedding, rows, columns))
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        x = self.last_block(visual.transformer.resblocks[-1], x, rows, columns)
        features = unit((visual.ln_post(x) @ visual.proj)[0, 1:].numpy())  # (h*w, D)
        return (features @ self.text.T).T.reshape(-1, rows, columns)

    def last_block(self, block, x, rows, columns):
        heads, width = block.attn.num_heads, x.shape[2]
        q, k, v = (part.reshape(1, -1, heads, width // heads).transpose(1, 2) for part in
                   torch.nn.functional.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(
                       3, dim=2))
        weights = NAIVE_WEIGHTS[self.dense](q, k, v, gaussian(rows, columns, 5, 1), None)
        attended = block.attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        if self.dense != 'sclip':
            return attended
        x = x + attended
        return x + block.mlp(block.ln_2(x))

    def image_cosines(self, image):
        """Cosines (S, H, W) of an image (3, H, W) by windows."""
        height, width = image.shape[1:]
        total, count = np.zeros((len(self.text), height, width)), np.zeros((height, width))
        for row in range(max(height - 224 + 112 - 1, 0) // 112 + 1):
            for column in range(max(width - 224 + 112 - 1, 0) // 112 + 1):
                bottom, right = min(row * 112 + 224, height), min(column * 112 + 224, width)
                place = slice(max(bottom - 224, 0), bottom), slice(max(right - 224, 0), right)
                window = image[(slice(None), *place)]
                total[(slice(None), *place)] += enlarge(self.cosines(window), *window.shape[1:])
                count[place] += 1
        return total / count

    def __call__(self, path):
        """Return the labels (H, W) of an image file."""
        picture = cv2.imread(str(path))[..., ::-1]
        height, width = picture.shape[:2]
        ratio = min(336 / min(height, width), 2048 / max(height, width))
        size = int(width * ratio + 0.5), int(height * ratio + 0.5)
        resized = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_LINEAR)
        cosines = self.image_cosines(((resized / 255 - MEAN) / STD).transpose(2, 0, 1))
        logits = self.scale * enlarge(cosines, height, width)
        exponentials = np.exp(logits - logits.max(axis=0))
        words = exponentials / exponentials.sum(axis=0)
        labels = np.zeros((height, width), int)
        for y in range(height):
            for x in range(width):
                labels[y, x], _ = self.best(words[:, y, x], set())
        removed = self.small(labels)
        for y in range(height):
            for x in range(width):
                label, probability = self.best(words[:, y, x], removed)
                labels[y, x] = 0 if probability < self.prob_thd else label
        return labels, len(removed), (words.max(axis=0) < self.prob_thd).mean()

    def best(self, words, removed):
        """Return the class with the most probable word and its probability."""
        highest = {}
        for label, probability in zip(self.classes, words):
            highest[label] = max(highest.get(label, 0), 0 if label in removed else probability)
        label = max(highest, key=highest.get)
        return label, highest[label]

    def small(self, labels):
        """Classes with at most ``area_thd`` of the pixels that are not background, or none without a threshold."""
        foreground = (labels != 0).sum()
        return set() if self.area_thd is None else {
            label for label in set(self.classes) - {0} if (labels == label).sum() <= self.area_thd * foreground}


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def naive_positions(table, rows, columns):
    """Position embeddings of another grid: a bicubic resize of the patches' part, by torch."""
    side = int((len(table) - 1)**0.5)
    grid = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, (rows, columns), mode='bicubic', align_corners=False)
    return torch.cat([table[:1], grid[0].permute(1, 2, 0).flatten(0, 1)])


def enlarge(maps, height, width):
    """Bilinear resize of maps (S, h, w): each pixel's centre between the centres of two rows and two columns."""
    def neighbours(source, target):
        place = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, None)
        low = np.minimum(place.astype(int), source - 1)
        return low, np.minimum(low + 1, source - 1), place - low
    y0, y1, dy = neighbours(maps.shape[1], height)
    x0, x1, dx = neighbours(maps.shape[2], width)
    rows = maps[:, y0] * (1 - dy)[:, None] + maps[:, y1] * dy[:, None]
    return rows[:, :, x0] * (1 - dx) + rows[:, :, x1] * dx


def iou(predictions, truths, classes):
    """Mean IoU in percent over classes with a pixel, from counted pixels; 255 is ignored."""
    scores = []
    for label in range(classes):
        both = sum(((p == label) & (t == label)).sum() for p, t in zip(predictions, truths))
        either = sum((((p == label) | (t == label)) & (t != 255)).sum() for p, t in zip(predictions, truths))
        if either:
            scores.append(100 * both / either)
    return sum(scores) / len(scores)


@pytest.fixture
def sharp_vit(tiny_vit):
    """The tiny ViT, whose text embeddings spread: a random text tower says nearly the same of all names."""
    model = load_clip(**tiny_vit).model
    torch.manual_seed(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.token_embedding.weight.normal_(std=1.)
        model.visual.conv1.weight.mul_(8)
    yield model
    model.load_state_dict(before)


@pytest.mark.slow
@pytest.mark.parametrize('method, prob_thd, area_thd', [('sclip', 0.1, 0.1), ('clearclip', 0.12, None)])
def test_label_maps_and_iou_are_those_of_the_naive_evaluator(method, prob_thd, area_thd, tiny_vit, sharp_vit, tmp_path):
    root = write_voc(tmp_path, train=0, aug=0, val=2)
    cfg = Config.fromfile(CONFIGS / 'training_free' / 'voc21_sclip.py')
    cfg.model.clip = tiny_vit
    cfg.model.backbone.dense = method
    cfg.model.test_cfg.update(prob_thd=prob_thd, area_thd=area_thd)
    cfg.test_dataloader.dataset.data_root = str(root)
    model = MODELS.build(cfg.model).eval()
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    naive = NaiveEvaluator(copy_of(sharp_vit, tiny_vit), method, load_vocabulary('voc21'), 65, prob_thd, area_thd)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    predictions, truths, fired = [], [], []
    for item in dataset:
        with torch.no_grad():
            sample, = model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        metric.process({}, [sample.to_dict()])
        expected, *counts = naive(sample.img_path)
        found = sample.pred_sem_seg.data[0].numpy()
        assert (found == expected).mean() > 0.999
        predictions.append(expected), truths.append(file_labels(sample.seg_map_path)), fired.append(counts)
    assert metric.evaluate(len(dataset))['mIoU'] == pytest.approx(iou(predictions, truths, 21), abs=0.05)
    assert any(0 < share < 1 for _, share in fired) and (area_thd is None or any(removed for removed, _ in fired))
    assert len(np.unique(predictions)) > 3


def copy_of(model, clip):
    """open_clip's own model with the same weights."""
    own = open_clip_model(clip)
    own.load_state_dict(model.state_dict())
    return own


def test_the_naive_resize_is_pillows():
    picture = np.random.default_rng(0).random((7, 5)).astype(np.float32)
    pillow = Image.fromarray(picture).resize((40, 21), Image.BILINEAR)
    np.testing.assert_allclose(enlarge(picture[None], 21, 40)[0], np.asarray(pillow), atol=1e-5)
