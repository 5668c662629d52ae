"""`python -m mmseg_mvp COMMAND`, the same as `mmseg-mvp COMMAND`; torchrun starts it by `torchrun -m mmseg_mvp`."""
from mmseg_mvp_cli import main

main()
