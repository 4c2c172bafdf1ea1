"""Inner loop of aggregation: a weighted sum of cube rows, accumulated in eight vector registers.

For each position, one row of 64 profits is read and added to 64 sums. If the loop is written in
Python and compiled, the sums pass through memory (267 us for an account of 505 positions and 2,560
scenarios). Here they stay in registers from the first position to the last (91 us, the bandwidth of
the second-level cache; scipy.sparse takes 555 us). LLVM splits the vectors if the registers of the
processor are narrower.

The positions are summed in their order, each with one fused multiply-add.
"""

# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
# ruff: noqa: ARG001
from collections.abc import Callable
from typing import TypeAlias, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from margin_actors.arrays import FloatArray, IndexArray

TILE = 64
"""Scenarios per tile of the risk cube: 512 bytes per contract, eight vector registers per sum."""
_LANES = 8
_DOUBLE, _I32, _I64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_AHEAD = 8
_BYTES = ir.IntType(8).as_pointer()
_VECTOR = ir.VectorType(_DOUBLE, _LANES)


def _int(value: int, kind: ir.IntType = _I64) -> ir.Constant:
    return ir.Constant(kind, value)


@intrinsic
def _weighted_row_sum(typing_context, rows, index, weight, start, stop, out):
    def generate(context, builder, signature, args):
        def data(position):
            return context.make_array(signature.args[position])(
                context, builder, args[position]
            ).data

        base, indices, weights, target = data(0), data(1), data(2), data(5)
        start, stop = args[3], args[4]
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{_LANES}f64"
        )
        prefetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTES, _I32, _I32, _I32]),
            "llvm.prefetch.p0",
        )
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(_I32, _LANES), [0] * _LANES)
        entry = builder.block
        carried = [
            builder.load(
                builder.bitcast(builder.gep(target, [_int(_LANES * v)]), _VECTOR.as_pointer()),
                align=8,
            )
            for v in range(TILE // _LANES)
        ]
        test, body, done = (builder.append_basic_block(n) for n in ("test", "body", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        position = builder.phi(_I64)
        position.add_incoming(start, entry)
        sums = [builder.phi(_VECTOR) for _ in range(TILE // _LANES)]
        for total, first in zip(sums, carried, strict=True):
            total.add_incoming(first, entry)
        builder.cbranch(builder.icmp_signed("<", position, stop), body, done)
        builder.position_at_end(body)
        row_number = builder.sext(builder.load(builder.gep(indices, [position])), _I64)
        scalar = builder.load(builder.gep(weights, [position]))
        lanes = builder.shuffle_vector(
            builder.insert_element(undefined, scalar, _int(0, _I32)), undefined, everywhere
        )
        row = builder.gep(base, [builder.mul(row_number, _int(TILE))])
        # The rows are scattered over the cube, so the processor cannot predict the next one:
        # prefetch the row eight positions ahead (measured: 91 us, without prefetching 104 us).
        ahead = builder.add(position, _int(_AHEAD))
        last = builder.sub(stop, _int(1))
        ahead = builder.select(builder.icmp_signed("<", ahead, last), ahead, last)
        later = builder.sext(builder.load(builder.gep(indices, [ahead])), _I64)
        wanted = builder.gep(base, [builder.mul(later, _int(TILE))])
        for lane in range(TILE // _LANES):
            line = builder.bitcast(builder.gep(wanted, [_int(_LANES * lane)]), _BYTES)
            builder.call(prefetch, [line, _int(0, _I32), _int(3, _I32), _int(1, _I32)])
        for lane, total in enumerate(sums):
            chunk = builder.bitcast(builder.gep(row, [_int(_LANES * lane)]), _VECTOR.as_pointer())
            new = builder.call(fma, [lanes, builder.load(chunk, align=8), total])
            total.add_incoming(new, builder.block)
        position.add_incoming(builder.add(position, _int(1)), builder.block)
        builder.branch(test)
        builder.position_at_end(done)
        for lane, total in enumerate(sums):
            chunk = builder.bitcast(
                builder.gep(target, [_int(_LANES * lane)]), _VECTOR.as_pointer()
            )
            builder.store(total, chunk, align=8)
        return context.get_dummy_value()

    return types.void(rows, index, weight, types.int64, types.int64, out), generate


_Signature: TypeAlias = Callable[[FloatArray, IndexArray, FloatArray, int, int, FloatArray], None]
weighted_row_sum = cast("_Signature", cast("object", _weighted_row_sum))
"""Add a weighted sum of rows to an array; for use in compiled code only.

weighted_row_sum(rows, index, weight, start, stop, out) adds weight[p] * rows[index[p]] to out for
each p in start <= p < stop, in ascending order.

- rows: float64 (n_rows, TILE); index: int32 (n_positions,); weight: float64 (n_positions,)
- out: float64 (TILE,), in the unit of rows times the unit of weight

All arrays must be C-contiguous.
"""
