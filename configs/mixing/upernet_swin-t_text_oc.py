# UPerNet on Swin-T with three learned prompts instead of templates. OCLoss keeps them apart (logged as
# decode.loss_oc). Gradients flow through CLIP's frozen text tower to 16 context vectors per prompt.
_base_ = './upernet_swin-t_text.py'
model = dict(
    decode_head=dict(
        prompts=dict(type='LearnedPrompts', num_prompts=3, global_prompt=False),  # no global prompt without GPR
        loss_oc=dict(type='OCLoss')))
