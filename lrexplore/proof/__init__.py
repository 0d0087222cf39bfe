"""Floors and optima: what no factors of a rank can do better, and the best factors where they can be proved."""

from lrexplore.proof.certificate import Certificate, certificate, floor_curve, lower_bound
from lrexplore.proof.provable import ProvenFactors, provable
