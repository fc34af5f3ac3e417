"""Weights: files of them, those that are published, those of other nets and of PyTorch."""
