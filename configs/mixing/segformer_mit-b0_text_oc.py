# SegFormer-B0 with three learned prompts, each initialized with a phrase. OCLoss keeps them apart (logged as
# decode.loss_oc). The head, with the prompts, has 10x the learning rate of the backbone.
_base_ = './segformer_mit-b0_text.py'
model = dict(
    decode_head=dict(
        prompts=dict(
            type='LearnedPrompts',
            num_prompts=3,
            global_prompt=False,  # no global prompt without GPR
            init=['a photo of a', 'a part of a', 'the outline of a']),
        loss_oc=dict(type='OCLoss')))
