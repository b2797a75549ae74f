"""Spherical networks of the literature: choices of structure group, field types and kernels over the shared stages.

Nothing here knows the sphere: the graph does (:func:`gaugenet.geometry.icosphere`, ``sphere``, ``healpix``). Every field of
:class:`gaugenet.models.EncoderOptions` is a keyword. docs/spherical_models.md compares each with its publication.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ..fields import FieldType, check_field_types
from ..groups import Trivial
from .classifier import GaugeClassifier
from .encoder import EncoderKeywords, EncoderOptions
from .unet import GaugeUNet

if TYPE_CHECKING:
    from typing_extensions import Unpack

_COMMON = EncoderOptions(blocks=(1, 1, 1), block="plain", lift=False)  # the first convolution reads the input


class SphericalCNN(GaugeClassifier):
    r"""Functions on the rotation group as SO(2)-regular fields on the sphere (Cohen et al. 2018, arXiv 1801.10130).

    A function on SO(3), read along the fibre of frames at every point of the sphere, is a field of functions on the circle;
    cut off at frequency L it has the irreps of orders 0..L (``order``), and the SO(3) correlation is the convolution of these
    fields (Weiler et al. 2021, section 12.2). The first layer correlates the input with anisotropic filters that turn with the
    frame, as the publication's S^2 layer does; the nonlinearity acts on the values of the functions.

    Unlike the publication: local filters in space instead of spectral ones with global support; the exactly equivariant
    "polynomial" nonlinearity on the samples by default (``nonlinearity="regular"`` is the published pointwise ReLU, equivariant
    up to aliasing); coarser points instead of a shrinking bandwidth.
    """

    defaults: ClassVar[EncoderOptions] = replace(_COMMON, channels=(8, 16, 32), order=2)


class ZonalCNN(GaugeClassifier):
    """Scalar fields and isotropic (zonal) kernels (Esteves et al. 2018, arXiv 1711.06721).

    A zonal filter is a function of the distance alone; here its profile is a sum of ``radial`` functions on the neighbourhood.
    Unlike the publication: local filters in space instead of smooth spectra, coarser points instead of pooling in the spectrum.
    """

    defaults: ClassVar[EncoderOptions] = replace(
        _COMMON,
        channels=(16, 32, 64),
        order=0,
        radial=4,
        nonlinearity="norm",  # ReLU on scalars
    )


class DeepSphere(GaugeClassifier):
    """Graph convolutions with isotropic filters and max pooling (Defferrard et al. 2020, arXiv 2012.15000).

    Unlike the publication: a sum of radial functions of the geodesic distance with quadrature weights instead of a Chebyshev
    polynomial of a graph Laplacian; both are isotropic and local.
    """

    defaults: ClassVar[EncoderOptions] = replace(ZonalCNN.defaults, pool="max")


class SpinCNN(GaugeClassifier):
    r"""Spin-weighted fields (Esteves, Makadia & Daniilidis 2020, arXiv 2006.10731).

    A complex field of spin s is a real field of order s = 0..``order``; spins 0 and 1 are the publication's choice. The
    nonlinearity acts on the modulus, :math:`z \mapsto \sigma(|z| + b)\, z / |z|`, and pointwise on the scalars.

    Unlike the publication: local filters in space instead of spectral ones; the scalars are real, and the kernels from spin s
    to spin t include those that conjugate (as maps of real fields they are as equivariant).
    """

    defaults: ClassVar[EncoderOptions] = replace(_COMMON, channels=(16, 32, 64), order=1, nonlinearity="norm")


class ClebschGordanCNN(GaugeClassifier):
    """Fourier-space nonlinearities: Clebsch-Gordan products of the fields (Kondor, Lin & Trivedi 2018, arXiv 1806.09231).

    Fields of orders 0..``order``, as of :class:`SphericalCNN`, and :class:`gaugenet.nn.TensorNonlinearity`: the product of a
    field with itself, copy by copy (Cobb et al. 2021, arXiv 2010.11661).

    Unlike the publications: products of fields on the sphere in the group SO(2) of frame rotations, point by point, instead of
    products of spectra in SO(3); divided by the size of the field, with a linear term; local filters in space.
    """

    defaults: ClassVar[EncoderOptions] = replace(SphericalCNN.defaults, nonlinearity="tensor")


class UGSCNN(GaugeClassifier):
    """Filters of differential operators in east-north frames (Jiang et al. 2019, arXiv 1901.02039): not rotation equivariant.

    Scalar fields over the trivial group, residual blocks. With one radial function and frequencies up to 1 the kernel of a pair
    of channels has four weights: the centre, the mean of the neighbourhood (with the centre: the identity and the Laplacian),
    and the east and north derivatives. The graph needs transport 1, frames east and north (structure "e").

    Unlike the publication: discs with moment-matched quadrature instead of finite elements on the one-ring; no bottlenecks.

    Raises:
        TypeError: for features of another group than ``groups.Trivial()``.
    """

    defaults: ClassVar[EncoderOptions] = replace(
        _COMMON,
        channels=(16, 32, 64),
        order=0,
        block="residual",
        radial=1,
        max_frequency=1,
        nonlinearity="norm",  # ReLU on scalars
    )

    def __init__(
        self,
        in_type: FieldType,
        num_classes: int,
        *,
        options: EncoderOptions | None = None,
        **overrides: Unpack[EncoderKeywords],
    ) -> None:
        check_field_types(self, in_type=in_type)
        if in_type.group != Trivial():
            raise TypeError(f"UGSCNN expected features over groups.Trivial(), got {in_type.group}")
        super().__init__(in_type, num_classes, options=options, **overrides)


class SphericalUNet(GaugeUNet):
    """Dense prediction on the sphere: :class:`GaugeUNet` with three levels and channels that double.

    ``out_type`` may be scalars ("5x0": classes of segments) or tangent vectors ("1x1": wind); the options make it the dense
    form of any network of this module, for example ``order=1, nonlinearity="norm"`` for spins 0 and 1.
    """

    defaults: ClassVar[EncoderOptions] = replace(_COMMON, channels=(8, 16, 32), block="residual")
