# MVP-SEG over DFN's ViT-B/16 (dfn2b), trained with QuickGELU. All three have OpenAI's sizes, tokenizer and image
# normalisation, so nothing else changes.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu', weights='dfn2b'))
