_base_ = './ade20k_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu'))
