# The attention of SegEarth-OV (arXiv 2410.01768): q-q plus k-k plus v-v, without residual and MLP. No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense='segearth'))
