"Draw small pictures of identities; shared by the tests that need a folder of them."
from pathlib import Path

import numpy as np
from PIL import Image


def draw(folder, names, images=2):
    "Draw pictures of large squares, the same for each name but for noise; returns the folder."
    for name in names:
        pattern = np.kron(np.random.default_rng(list(name.encode())).integers(0, 255, (4, 4, 3)), np.ones((16, 16, 1)))
        for shot in range(images):
            noise = np.random.default_rng([*name.encode(), shot]).normal(0, 20, pattern.shape)
            file = Path(folder, name, f"{shot}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pattern + noise).clip(0, 255).astype(np.uint8)).save(file)
    return Path(folder)
