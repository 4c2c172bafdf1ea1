"""Machine operations that Python cannot express, as fragments for compiled kernels.

Each compiles to a few LLVM instructions without a branch, so that LLVM can vectorise a loop over
them: a fused multiply-add; minimum and maximum, which return the second operand if the operands are
equal (zeros of either sign included) or either is NaN; a selection; the power of two of an integer
stored in a shifted double; the exponent and mantissa of a double.

The type checker sees ordinary functions of floats, but only compiled code may call them.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false, reportMissingTypeStubs=false
# ruff: noqa: ARG001
from collections.abc import Callable
from typing import cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_DOUBLE = ir.DoubleType()
_INT64 = ir.IntType(64)
_F64 = types.float64

SHIFTER = 6755399441055744.0
"""1.5 * 2**52: adding it to a double rounds that to an integer, stored in the low bits of the
sum."""


@intrinsic
def _fused_multiply_add(typing_context, a, b, c):
    def generate(context, builder, signature, args):
        return builder.fma(*args)

    return _F64(_F64, _F64, _F64), generate


@intrinsic
def _minimum(typing_context, a, b):
    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[0], args[1])

    return _F64(_F64, _F64), generate


@intrinsic
def _maximum(typing_context, a, b):
    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return _F64(_F64, _F64), generate


@intrinsic
def _select_nonnegative(typing_context, x, a, b):
    def generate(context, builder, signature, args):
        return builder.select(
            builder.fcmp_ordered(">=", args[0], ir.Constant(_DOUBLE, 0.0)), args[1], args[2]
        )

    return _F64(_F64, _F64, _F64), generate


@intrinsic
def _power_of_two(typing_context, shifted):
    def generate(context, builder, signature, args):
        bits = builder.bitcast(args[0], _INT64)
        biased = builder.add(bits, ir.Constant(_INT64, 1023))
        return builder.bitcast(builder.shl(biased, ir.Constant(_INT64, 52)), _DOUBLE)

    return _F64(_F64), generate


@intrinsic
def _exponent_and_mantissa(typing_context, x):
    pair = types.UniTuple(_F64, 2)

    def generate(context, builder, signature, args):
        # Subtract the bits of sqrt(1/2) so that the mantissa lies in [sqrt(1/2), sqrt(2)).
        bits = builder.bitcast(args[0], _INT64)
        offset = ir.Constant(_INT64, 0x3FE6A09E667F3BCD)
        shifted = builder.ashr(builder.sub(bits, offset), ir.Constant(_INT64, 52))
        mantissa = builder.sub(bits, builder.shl(shifted, ir.Constant(_INT64, 52)))
        exponent = builder.sitofp(shifted, _DOUBLE)
        return context.make_tuple(builder, pair, (exponent, builder.bitcast(mantissa, _DOUBLE)))

    return pair(_F64), generate


fused_multiply_add = cast(
    "Callable[[float, float, float], float]", cast("object", _fused_multiply_add)
)
"""(a, b, c) -> a * b + c with one rounding."""
minimum = cast("Callable[[float, float], float]", cast("object", _minimum))
"""(a, b) -> a where a < b, else b."""
maximum = cast("Callable[[float, float], float]", cast("object", _maximum))
"""(a, b) -> a where a > b, else b."""
select_nonnegative = cast(
    "Callable[[float, float, float], float]", cast("object", _select_nonnegative)
)
"""(x, a, b) -> a where x >= 0, else b."""
power_of_two = cast("Callable[[float], float]", cast("object", _power_of_two))
"""(SHIFTER + n) -> 2**n, for n in [-1022, 1023]."""
exponent_and_mantissa = cast(
    "Callable[[float], tuple[float, float]]", cast("object", _exponent_and_mantissa)
)
"""x -> (n, m) with x = m * 2**n and m in [sqrt(1/2), sqrt(2)); x positive, finite and normal."""
