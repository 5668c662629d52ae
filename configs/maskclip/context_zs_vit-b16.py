_base_ = './context_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu'))
