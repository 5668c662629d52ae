# UPerNet on Swin-T whose text is learned: three prompts in the place of templates, kept apart by OCLoss (logged as
# decode.loss_oc). Gradients go through CLIP's frozen text tower into the prompts' 16 context vectors each.
_base_ = './upernet_swin-t_text.py'
model = dict(
    decode_head=dict(
        prompts=dict(type='LearnedPrompts', num_prompts=3, global_prompt=False),  # no GPR, so no global prompt
        loss_oc=dict(type='OCLoss')))
