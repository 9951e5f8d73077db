"""Messages with every shape of field that masks treat in its own way, compiled once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import google.api
import grpc_tools  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

PROTO = """
syntax = "proto3";
package sutler.masktest.v1;
import "google/api/field_behavior.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";

message Thing {
  enum Mode { MODE_UNSPECIFIED = 0; MODE_FAST = 1; }
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  string uid = 2 [(google.api.field_behavior) = OUTPUT_ONLY];
  google.protobuf.Timestamp create_time = 3 [(google.api.field_behavior) = OUTPUT_ONLY];
  string etag = 4 [(google.api.field_behavior) = OPTIONAL];
  string title = 5;
  optional int64 size = 6;
  string type = 7 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = IMMUTABLE];
  Mode mode = 8;
  google.protobuf.Duration ttl = 9;
  google.protobuf.Struct properties = 10;
  google.protobuf.Value value = 11;
  google.protobuf.Struct outputs = 12 [(google.api.field_behavior) = OUTPUT_ONLY];
  repeated string labels = 13;
  map<string, string> tags = 14;
  Spec spec = 15;
  repeated Disk disks = 16;
  map<string, Disk> mounts = 17;
  string secret = 18 [(google.api.field_behavior) = INPUT_ONLY];
  Spec origin = 19 [(google.api.field_behavior) = IMMUTABLE];
  Thing child = 20;
  oneof kind {
    Spec small = 21;
    Disk large = 22;
    string word = 23;
  }
}

message Spec {
  string image = 1;
  int64 count = 2;
  string zone = 3 [(google.api.field_behavior) = IMMUTABLE];
  string host = 4 [(google.api.field_behavior) = OUTPUT_ONLY];
  google.protobuf.Struct options = 5;
  Disk disk = 6;
}

message Disk {
  string id = 1;
  int64 size = 2;
  string device = 3 [(google.api.field_behavior) = OUTPUT_ONLY];
  string key = 4 [(google.api.field_behavior) = INPUT_ONLY];
  string format = 5 [(google.api.field_behavior) = IMMUTABLE];
}
"""


def _pool() -> descriptor_pool.DescriptorPool:
    site_packages = Path(next(iter(google.api.__path__))).parents[1]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "masktest.proto").write_text(PROTO)
        out = Path(folder, "out.binpb")
        includes = [f"-I{folder}", f"-I{site_packages}", f"-I{well_known}"]
        assert protoc.main(["protoc", *includes, f"--descriptor_set_out={out}", "masktest.proto"]) == 0
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


Thing: Any = message_factory.GetMessageClass(_pool().FindMessageTypeByName("sutler.masktest.v1.Thing"))
