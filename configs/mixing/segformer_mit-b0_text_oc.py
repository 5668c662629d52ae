# SegFormer-B0 whose text is learned: three prompts that start from a phrase each, kept apart by OCLoss (logged as
# decode.loss_oc). The prompts learn at ten times the backbone's rate, as all of the head.
_base_ = './segformer_mit-b0_text.py'
model = dict(
    decode_head=dict(
        prompts=dict(
            type='LearnedPrompts',
            num_prompts=3,
            global_prompt=False,  # no GPR, so no global prompt
            init=['a photo of a', 'a part of a', 'the outline of a']),
        loss_oc=dict(type='OCLoss')))
