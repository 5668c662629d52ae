"""Export of a whole model to ONNX, from images to label maps."""
import inspect
import warnings
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.onnx._constants import ONNX_TORCHSCRIPT_EXPORTER_MAX_OPSET

from mmseg_mvp.clip import traceable_positions
from mmseg_mvp.errors import UserError
from mmseg_mvp.host import extra_advice
from mmseg_mvp.utils.files import atomic_write, check_new_file

from .common import (
    AGREEMENT,
    as_json,
    check_no_proxy,
    check_one_row_a_class,
    check_unrefined,
    dynamic_shapes,
    label_maps,
    origin,
    predictions,
    random_images,
    text_classifier,
)
from .traceable import TraceableSegmentor, text_embeddings

# Attention needs opset 14. torch's tracing exporter supports opsets up to 20, before torch 2.5 up to 17.
OPSETS = range(14, ONNX_TORCHSCRIPT_EXPORTER_MAX_OPSET + 1)
# Largest difference from PyTorch's scores, divided by the largest score if it exceeds 1.
TOLERANCE = 1e-3
NAMES = dict(images=('batch', 'height', 'width'), text=(None, 'classes'), labels=('batch', 'height', 'width'),
             scores=('batch', 'classes', 'height', 'width'))


def save_embeddings(model: BaseModel, path: str | Path) -> None:
    """Write the class embeddings of a model, for an ONNX file with the embeddings as an input.

    Args:
        model (BaseModel): Segmentor with a text classifier, in eval mode.
        path (str | Path): New ``.npz`` file with ``text`` (V, C, D), float32, and the class names ``classes`` (C,).

    Raises:
        UserError: If a class has several wordings combined by the maximum score, or the file exists.
    """
    check_one_row_a_class(model, 'a file of embeddings')
    check_new_file(path, '.npz')
    classifier = text_classifier(model)
    with atomic_write(path) as part:
        np.savez(part, text=text_embeddings(model).float().cpu().numpy(), classes=list(classifier.vocabulary),
                 **origin(classifier))


def export_onnx(model: BaseModel, path: str | Path, opset: int = 17, scores: bool = False,
                open_vocabulary: bool = False, shape: tuple[int, int, int] | None = None, **metadata: str) -> None:
    """Write a model as ONNX and compare the file with the model on random images.

    Inputs: ``images``, RGB without normalisation, uint8, (B, H, W, 3), and for an open vocabulary ``text``, float32,
    (V, C, D), see :func:`text_embeddings`. Outputs: ``labels``, int64, (B, H, W), and optionally ``scores``, the logits
    at image size, float32, (B, C, H, W). The file does not resize images and uses no sliding windows.

    Args:
        model (BaseModel): Segmentor with a text classifier, in eval mode, on the CPU.
        path (str | Path): New file, ``.onnx``.
        opset (int): ONNX opset, 14 to 20 (up to 17 before torch 2.5).
        scores (bool): True adds the output ``scores``.
        open_vocabulary (bool): True adds the input ``text``.
        shape (tuple[int, int, int], optional): Fixed batch, height and width; None keeps them dynamic.
        **metadata (str): Additional metadata of the file.

    Raises:
        UserError: If a package is missing, the opset is not supported, the file exists, the model can't be exported, or
            the results of file and model differ.
    """
    check_onnx(opset)
    check_new_file(path, '.onnx')
    check_unrefined(model)
    check_no_proxy(model)
    if open_vocabulary:
        check_one_row_a_class(model, 'an open vocabulary')
    exported = TraceableSegmentor(model, scores).eval()
    text = (exported.text.weights, ) if open_vocabulary else ()
    with atomic_write(path) as part:
        _trace(exported, text, part, opset, shape)
        _add_metadata(part, dict(_describe(model, exported, open_vocabulary), **metadata))
        _compare(part, model, exported, text, shape)


def check_onnx(opset: int) -> None:
    """Check the requirements of the ONNX export. Call it before building a model.

    Args:
        opset (int): ONNX opset.

    Raises:
        UserError: If a package is missing, or the opset is not supported.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(f'{error.name} is not installed, which the ONNX export needs: '
                        f'{extra_advice("export")}') from error
    if opset not in OPSETS:
        raise UserError(f'ONNX opset {opset} is not supported: expected {OPSETS[0]} to {OPSETS[-1]}')


def _trace(exported: TraceableSegmentor, text: tuple[Tensor, ...], path: Path, opset: int, shape: tuple | None) -> None:
    """Write the file by PyTorch's tracing exporter."""
    unit = max(exported.multiple, 32 if exported.multiple == 1 else 1)
    # A grid that differs from the training grid, so that the file includes the resizing of position embeddings.
    images = random_images(*(shape or (2, 5 * unit, 7 * unit)))
    inputs = ['images', 'text'][:1 + len(text)]
    outputs = ['labels', 'scores'][:1 + exported.scores]
    axes = {} if shape else {name: {axis: title for axis, title in enumerate(NAMES[name]) if title}
                             for name in (*inputs, *outputs)}
    # The tracing exporter is 20 times faster than the torch.export one and supports more of the models.
    exporter = dict(dynamo=False) if 'dynamo' in inspect.signature(torch.onnx.export).parameters else {}
    try:
        with torch.no_grad(), traceable_positions(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # one per branch on a size; the comparison finds those that matter
            torch.onnx.export(exported, (images, *text), str(path), input_names=inputs, output_names=outputs,
                              dynamic_axes=axes, opset_version=opset, **exporter)
    except (RuntimeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{type(exported.model.backbone).__name__} with {type(exported.model.decode_head).__name__} '
                        f'can\'t be exported at opset {opset} ({reason}): try --opset {OPSETS[-1]}, or fix the size '
                        f'with --shape BATCH HEIGHT WIDTH') from error


def _describe(model: BaseModel, exported: TraceableSegmentor, open_vocabulary: bool) -> dict[str, str]:
    """Return the metadata of the file."""
    classifier = text_classifier(model)
    entries = dict(origin(classifier), images='RGB, uint8, (batch, height, width, 3), not normalised',
                   labels='index of the class, (batch, height, width)')
    if open_vocabulary:
        views, _, size = exported.text.weights.shape
        return dict(entries, text=f'({views}, classes, {size}), by tools/export.py --format embeddings')
    return dict(entries, classes=as_json(list(classifier.vocabulary)))


def _add_metadata(path: Path, metadata: dict[str, str]) -> None:
    import onnx
    file = onnx.load(str(path))
    onnx.helper.set_model_props(file, metadata)
    onnx.save(file, str(path))


def _compare(path: Path, model: BaseModel, exported: TraceableSegmentor, text: tuple[Tensor, ...],
             shape: tuple | None) -> None:
    """Compare the results of file and model, by default at sizes other than the traced one.

    Raises:
        UserError: If the file can't run, too many labels differ, or the scores differ.
    """
    import onnxruntime
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    feeds = {'text': text[0].numpy()} if text else {}
    for size in [shape] if shape else dynamic_shapes(exported.multiple):
        images = random_images(*size)
        try:
            found = session.run(None, dict(feeds, images=images.numpy()))
        except Exception as error:  # onnxruntime's exceptions have no common base class of their own
            raise _not_dynamic(model, size, type(error).__name__, shape) from error
        expected = _whole(model, images)
        same = (torch.from_numpy(found[0]) == label_maps(expected)).float().mean().item()
        if same < AGREEMENT:
            raise _not_dynamic(model, size, f'{100 * (1 - same):.2f} % of the labels differ', shape)
        if exported.scores:
            logits = torch.stack([sample.low_res_logits.resize() for sample in expected])
            error = float((torch.from_numpy(found[1]) - logits).abs().max() / logits.abs().max().clamp(min=1))
            if not error < TOLERANCE:
                raise _not_dynamic(model, size, f'the scores differ by {error:.1e}', shape)


def _whole(model: BaseModel, images: Tensor) -> list:
    """Predict whole images, regardless of the model's ``test_cfg.mode``."""
    mode, model.test_cfg.mode = model.test_cfg.mode, 'whole'
    try:
        return predictions(model, images)
    finally:
        model.test_cfg.mode = mode


def _not_dynamic(model: BaseModel, size: tuple, found: str, shape: tuple | None) -> UserError:
    advice = ('this model can\'t be exported' if shape else 'fix them with --shape BATCH HEIGHT WIDTH, or set '
              'model.size_divisor to the stride of the backbone')
    return UserError(f'The ONNX file of {type(model.backbone).__name__} with {type(model.decode_head).__name__} does '
                     f'not do what the model does for batch, height and width {size} ({found}): {advice}')
