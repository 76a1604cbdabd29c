"""Cracks measured: from a photograph and a probability map to lengths and widths with intervals."""

from minispiral.measurement.contrast import Reading as Reading
from minispiral.measurement.pipeline import measure as measure
from minispiral.measurement.records import Estimate as Estimate
from minispiral.measurement.records import MeasuredCrack as MeasuredCrack
from minispiral.measurement.records import Measurement as Measurement
from minispiral.measurement.scale import Scale as Scale
from minispiral.measurement.settings import Settings as Settings
