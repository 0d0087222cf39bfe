"""What the layers of a network are given on real inputs: moments, samples, output statistics."""

from lrexplore.calibration.calibrate import calibrate
from lrexplore.calibration.calibration import Calibration
from lrexplore.calibration.implied import implied_inputs, implies_inputs
from lrexplore.network.batches import first_inputs, input_batches, run_model
