# MVP-SEG on DFN's ViT-B/16 (dfn2b), trained with QuickGELU. The models of LAION, MetaCLIP and DFN have OpenAI's sizes,
# tokenizer and image normalisation, so no other setting changes.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu', weights='dfn2b'))
