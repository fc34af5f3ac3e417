"""One file per family of architectures. Each registers its names with cnn_zoo.registry."""
