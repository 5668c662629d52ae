_base_ = './voc_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu'))
