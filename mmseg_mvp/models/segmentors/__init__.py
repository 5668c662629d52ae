from .clip_encoder_decoder import CLIPEncoderDecoder
from .knowledge_transfer import KnowledgeTransfer
from .low_res_tta import LowResSegTTAModel
from .open_vocab_encoder_decoder import OpenVocabEncoderDecoder

__all__ = ['CLIPEncoderDecoder', 'KnowledgeTransfer', 'LowResSegTTAModel', 'OpenVocabEncoderDecoder']
