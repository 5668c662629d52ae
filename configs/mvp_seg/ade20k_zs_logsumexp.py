# MVP-SEG with prompts that cooperate (ours): see docs/mvp_seg.md, "Fusion of views".
_base_ = './ade20k_zs.py'
model = dict(decode_head=dict(fusion='logsumexp', loss_oc=None))
