"""Server reflection in versions v1 and v1alpha.

The two versions have the same messages under two package names. grpcio-reflection has v1alpha only,
so its servicer is registered under both names, and the description of v1 is made from that of
v1alpha.
"""

from collections.abc import Iterable

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

SERVICE_NAMES = ("grpc.reflection.v1.ServerReflection", reflection.SERVICE_NAME)
_V1, _V1ALPHA = "grpc.reflection.v1", "grpc.reflection.v1alpha"
_V1_FILE = "grpc/reflection/v1/reflection.proto"


def enable_reflection(server: grpc.aio.Server, names: Iterable[str]) -> None:
    """Enable reflection of the named services, and of reflection itself, on a server."""
    _describe_v1()
    servicer = reflection.aio.ReflectionServicer((*names, *SERVICE_NAMES))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in SERVICE_NAMES:
        handlers = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _describe_v1() -> None:
    """Add the file descriptor of v1 to the default pool unless it is already there."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        file.name, file.package = _V1_FILE, _V1
        for message in file.message_type:
            for field in (f for f in message.field if f.type_name):
                field.type_name = field.type_name.replace(_V1ALPHA, _V1)
        for method in (m for service in file.service for m in service.method):
            method.input_type = method.input_type.replace(_V1ALPHA, _V1)
            method.output_type = method.output_type.replace(_V1ALPHA, _V1)
        pool.AddSerializedFile(file.SerializeToString())
