"""Global classification loss of MVP-SEG (arXiv 2304.06957)."""
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_tensor

from .checks import check_loss, refuse_labels

FORMS = ('bce', 'printed')


@MODELS.register_module()
class PresenceLoss(BaseModule):
    """Classification loss of the global prompt: which classes are in the image (MVP-SEG).

    The paper prints ``L_cls = - sum_c y_c log g_c``, the form ``'printed'`` (sum over classes, mean over images). It
    has no term for absent classes, so ``g = 1`` for all classes minimises it. The default ``'bce'`` is the binary
    cross-entropy, averaged over classes and images.

    Args:
        form (str): ``'bce'`` or ``'printed'``.
        loss_weight (float): Factor of the loss.
        loss_name (str): Name in the log, which must contain ``loss``.

    Raises:
        UserError: If the form is unknown, or the weight or the name is not valid.
    """

    def __init__(self, form: str = 'bce', loss_weight: float = 1.0, loss_name: str = 'loss_presence') -> None:
        super().__init__()
        if form not in FORMS:
            raise UserError(f"PresenceLoss.form is '{form}': expected one of {', '.join(FORMS)}.")
        check_loss('PresenceLoss', loss_weight, loss_name)
        self.form = form
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, present: Tensor, **settings) -> Tensor:
        """Compute the loss (); 0 for an empty batch.

        Args:
            logits (Tensor): Presence logits, the argument of GPR's sigmoid, (B, C).
            present (Tensor): 1 for classes in the image, else 0, (B, C).
            **settings: Refused; a head of mmseg gives them to ``loss_decode``.

        Raises:
            UserError: If the arguments are not such tensors, or the loss is called as ``loss_decode``.
        """
        refuse_labels('PresenceLoss', "loss_presence=dict(type='PresenceLoss') in a head with gpr", (), settings)
        check_tensor('PresenceLoss', logits, 'B, C')
        if not isinstance(present, Tensor) or present.shape != logits.shape:
            raise UserError(f'PresenceLoss got logits {tuple(logits.shape)} and, as what is present, '
                            f'{tuple(getattr(present, "shape", ())) or type(present).__name__}: expected a tensor of '
                            f'the same shape.')
        if not len(logits):
            return logits.sum()
        if self.form == 'bce':
            return self.loss_weight * F.binary_cross_entropy_with_logits(logits, present.to(logits))
        return -self.loss_weight * (present * F.logsigmoid(logits)).sum(dim=1).mean()
