"""Numbers of the hexagonal lattice of spacing 1, for all that is on one: arrays, graphs, taps and the icosahedron."""

from __future__ import annotations

#: sin 60 degrees, the distance of two rows
HEIGHT = 0.75**0.5
#: (x, y) of one step down the rows and of one step along the columns of an array in axial coordinates
AXES = ((0.5, -HEIGHT), (1.0, 0.0))
#: cos and sin of 0, 60, ..., 300 degrees, with exact zeros, halves and ones
COSINES = (1.0, 0.5, -0.5, -1.0, -0.5, 0.5)
SINES = (0.0, HEIGHT, HEIGHT, 0.0, -HEIGHT, -HEIGHT)
