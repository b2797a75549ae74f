"""Blood vessels with the wall shear stress of a steady flow; run as ``python -m datasets.vessels --out FOLDER``."""
