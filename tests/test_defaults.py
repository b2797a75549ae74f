"""One argument name, one default; where not, the reason."""

from __future__ import annotations

import inspect

from gaugenet import kernels, models, nn

#: (argument, class) -> why its default is another than that of most
EXCEPTIONS = {
    ("activation", "GatedNonlinearity"): "SiLU beside gates, as published with them (Weiler et al. 2018); gradients at 0",
    ("degree", "BSpline"): "of splines, cubic; elsewhere of a polynomial",
    ("degree", "PolynomialNonlinearity"): "of the polynomial of a field; elsewhere of those of the log map",
    ("degree", "Spline"): "of splines, quadratic as published (Bekkers 2020)",
    ("eps", "FieldNorm"): "added to a variance, as of torch's norms; elsewhere to a norm",
    ("eps", "MagnitudeNonlinearity"): "a bound on the square of the modulus, of the published code",
    ("eps", "ToScalars"): "an invariant that is read, and no divisor: as small as float32 allows",
    ("eps", "to_scalars"): "as of ToScalars",
    ("hidden", "MLP"): "two layers, as published (Finzi et al. 2020)",
    ("kernel_size", "ScaleConv"): "has to hold the widest of the rescaled filters",
    ("max_frequency", "SteerableBasis"): "a basis of one pair, where a layer goes by its types",
    ("mode", "ConePoints"): "of cone points", ("mode", "FieldNorm"): "of statistics", ("mode", "GridPadding"): "of borders",
    ("mode", "GridUpsample"): "of interpolation", ("mode", "TensorProduct"): "of the copies",
    ("padding", "HarmonicConv"): "published layers keep the size of the image",
    ("padding", "InterpolatedConv"): "published layers keep the size of the image",
    ("padding", "ScaleConv"): "published layers keep the size of the image",
    ("padding_mode", "GridBlur"): "zeros would darken the border of what is only smoothed",
    ("reduce", "GaugePool"): "a mean is an integral, which refinement does not change; maxima are of images",
    ("reduce", "LatticePool"): "as of GaugePool",
    ("eps", "FieldConv"): "as of MagnitudeNonlinearity: a length is divided by",
    ("rings", "HarmonicRings"): "a number; elsewhere None is one that is derived from the pixels",
    ("rings", "HarmonicSurfaceConv"): "as of HarmonicRings",
    ("rings", "hexagonal_taps"): "a count of steps; elsewhere a family of radii",
    ("sigma", "GridMask"): "0 is a sharp edge; elsewhere None is a width that is derived",
    ("size", "Spline"): "centres a side, as the pixels of a kernel; elsewhere of a window",
    ("stride", "GridBlur"): "subsampling is what it is for", ("stride", "GridPool"): "as the window, of torch's pooling",
}  # fmt: skip
#: networks and what else takes options: their defaults are their publications'
PRESETS = (nn.BlockOptions, nn.BottleneckBlock, nn.ConvBlock, nn.ResidualBlock, models.EncoderOptions)


def defaults() -> dict[str, dict[str, list[str]]]:
    """argument -> default -> names, over the layers and kernels."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, value in [(n, getattr(m, n)) for m in (nn, kernels) for n in m.__all__]:
        if not callable(value) or value in PRESETS:
            continue
        for p in inspect.signature(value).parameters.values():
            if p.default is not p.empty:
                found.setdefault(p.name, {}).setdefault(repr(p.default), []).append(name)
    return found


def test_one_name_has_one_default():
    used = set()
    for argument, by_default in defaults().items():
        regular = {}
        for default, names in by_default.items():
            rest = [name for name in names if (argument, name) not in EXCEPTIONS]
            used |= {(argument, name) for name in names if (argument, name) in EXCEPTIONS}
            if rest:
                regular[default] = rest
        assert len(regular) <= 1, (argument, regular)
    assert used == EXCEPTIONS.keys(), f"exceptions that are none: {EXCEPTIONS.keys() - used}"


def test_networks_on_graphs_share_what_no_publication_says():
    graphs = [m for m in map(vars(models).get, models.__all__) if inspect.isclass(m) and issubclass(m, models.GaugeEncoder)]
    graphs.remove(models.LieConvNet)  # whose publication says "swish", and batch norms
    for argument in ("activation", "dropout", "norm", "quadrature"):
        assert len({inspect.signature(m).parameters[argument].default for m in graphs}) == 1, argument
