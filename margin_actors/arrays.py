"""Names of the NumPy array types used throughout the package, and the unit of its time stamps."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
IndexArray: TypeAlias = NDArray[np.int32]
BoolArray: TypeAlias = NDArray[np.bool_]
TimeArray: TypeAlias = NDArray[np.datetime64]

DAY_MS = 86_400_000
"""Milliseconds in a day; time stamps are datetime64[ms] in UTC."""
