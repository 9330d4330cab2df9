"""Tiny networks learn faster with one thread."""

import torch

torch.set_num_threads(1)
