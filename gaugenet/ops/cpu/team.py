"""Run a compiled function on the threads of torch's own OpenMP team.

Threads of our own would fight for the cores with OpenMP's, which keep spinning for a while after every torch operation; as
work of that team, ours starts at once.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@functools.cache
def fork_address() -> int:
    """Address of ``GOMP_parallel`` in the OpenMP library that torch is linked with; 0 where there is none."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        symbol = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):  # another platform, another OpenMP, or a build without
        return 0
    return ctypes.cast(symbol, ctypes.c_void_p).value or 0


def make_team(function):
    """An intrinsic team(fork, threads, first, last, arguments): function(arguments, i) for first <= i < last, on threads.

    ``function`` is jitted; ``arguments`` is a tuple. Every thread takes the next item until none is left; one thread is the
    caller's own, and needs no ``fork``. Gives the number of items that raised.
    """

    @intrinsic
    def team(typing, fork, threads, first, last, arguments):
        callee = typing.resolve_value_type(function)
        signature = callee.get_call_type(typing, (arguments, types.intp), {})

        def generate(context, builder, _, values):
            word, address = ir.IntType(64), ir.IntType(8).as_pointer()
            shared = ir.LiteralStructType([context.get_value_type(arguments), word, word, word])
            share = cgutils.alloca_once(builder, shared)
            for place, value in enumerate((values[4], values[2], values[3], ir.Constant(word, 0))):
                builder.store(value, cgutils.gep_inbounds(builder, share, 0, place))
            body = ir.FunctionType(ir.VoidType(), [address])
            member = ir.Function(builder.module, body, name=builder.module.get_unique_name("team_member"))
            member.linkage = "internal"
            _member(context, builder, member, shared, callee.dispatcher.get_compile_result(signature))
            count, place = builder.trunc(values[1], ir.IntType(32)), builder.bitcast(share, address)
            kind = ir.FunctionType(ir.VoidType(), [body.as_pointer(), address, count.type, count.type])
            with builder.if_else(builder.icmp_signed(">", values[1], ir.Constant(word, 1))) as (many, one):
                with many:
                    call = builder.inttoptr(values[0], kind.as_pointer())
                    builder.call(call, [member, place, count, ir.Constant(count.type, 0)])
                with one:
                    builder.call(member, [place])
            return builder.load(cgutils.gep_inbounds(builder, share, 0, 3))

        return types.intp(*[types.intp] * 4, arguments), generate

    return team


def _member(context, outer, member, shared, compiled) -> None:
    """Body of what a thread runs: items by an atomic counter until none is left."""
    word = ir.IntType(64)
    builder = ir.IRBuilder(member.append_basic_block("entry"))
    share = builder.bitcast(member.args[0], shared.as_pointer())
    arguments, counter, limit, failed = (cgutils.gep_inbounds(builder, share, 0, k) for k in range(4))
    take, work, end = (member.append_basic_block(name) for name in ("take", "work", "end"))
    builder.branch(take)
    builder.position_at_end(take)
    item = builder.atomic_rmw("add", counter, ir.Constant(word, 1), "seq_cst")
    builder.cbranch(builder.icmp_signed("<", item, builder.load(limit)), work, end)
    builder.position_at_end(work)
    function = context.declare_function(outer.module, compiled.fndesc)
    context.active_code_library.add_linking_library(compiled.library)
    types_in, result = compiled.signature.args, compiled.signature.return_type
    status, _ = context.call_conv.call_function(builder, function, result, types_in, [builder.load(arguments), item])
    builder.atomic_rmw("add", failed, builder.zext(status.is_error, word), "seq_cst")
    builder.branch(take)
    builder.position_at_end(end)
    builder.ret_void()
