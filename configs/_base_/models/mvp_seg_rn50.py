# MVP-SEG (arXiv 2304.06957). The paper gives k = 3; values not in the paper are marked "ours".
model = dict(
    type='CLIPEncoderDecoder',
    clip=dict(model='RN50-quickgelu', weights='openai'),
    data_preprocessor=dict(
        type='SegDataPreProcessor',  # mean and std are those of the CLIP
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(type='CLIPImageEncoder', dense='maskclip'),
    decode_head=dict(
        type='MultiPromptTextHead',
        prompts=dict(
            type='LearnedPrompts',
            num_prompts=3,
            context_length=16,  # ours (CoOp's)
            init=None,  # ours (CoOp's): N(0, 0.02)
            std=0.02,
            global_prompt=True),
        scale=30.,  # ours: initial k * logit_scale
        synonyms='max',
        gpr=dict(type='GPR', gamma=10., temperature=0.1),  # ours
        loss_decode=dict(type='RefinedSegLoss', loss_weight=1.0),  # ours: lambda_1
        loss_presence=dict(type='PresenceLoss', form='bce', loss_weight=1.0),  # ours: form and lambda_2
        loss_oc=dict(type='OCLoss', squared=True, loss_weight=1.0)),  # ours: squared (the paper: False) and lambda_3
    test_cfg=dict(mode='whole'))
