_base_ = './coco_stuff_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu'))
