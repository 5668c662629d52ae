from .clip_encoder_decoder import CLIPEncoderDecoder
from .low_res_tta import LowResSegTTAModel

__all__ = ['CLIPEncoderDecoder', 'LowResSegTTAModel']
