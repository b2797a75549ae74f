"""The lamp, the same in pictures and pages."""

from __future__ import annotations

import numpy as np

# In the camera's coordinates: from the left, above and in front.
LIGHT = np.array([-0.35, 0.45, 0.82])
# What lies on the surface is left out where the surface is seen at a smaller cosine than this, or from behind.
GRAZING = 0.25
