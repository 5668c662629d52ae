# Schedule for the toy world: one minute on two CPU cores. SGD with LSeg's learning rates learned nothing there in
# 200 iterations.
_base_ = ['./student_20k.py']
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.01))
param_scheduler = [dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=300, by_epoch=False)]
train_cfg = dict(max_iters=300, val_interval=300)
