# MaskCLIP with key smoothing and prompt denoising, at the thresholds of its code and paper (arXiv 2112.01071).
_base_ = './context_zs_vit-b16.py'
model = dict(test_cfg=dict(key_smooth=1., prompt_denoise=0.5))
