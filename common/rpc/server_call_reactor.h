#pragma once

#include <memory>
#include <utility>

#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/support/byte_buffer.h"

#include "common/rpc/server_call.h"

namespace yagura::rpc {

// The half that belongs to gRPC. Deleted in OnDone, as gRPC wants it.
class ServerCall::Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Reactor(std::shared_ptr<ServerCall> call) : call_(std::move(call)) {}

  void Read() { StartRead(&incoming_); }
  void Write(grpc::ByteBuffer buffer, bool more) {
    outgoing_ = std::move(buffer);
    grpc::WriteOptions options;
    if (more) options.set_buffer_hint();
    StartWrite(&outgoing_, options);
  }
  void WriteAndFinish(grpc::ByteBuffer buffer) {
    outgoing_ = std::move(buffer);
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void OnReadDone(bool ok) override { call_->OnRead(ok, std::move(incoming_)); }
  void OnWriteDone(bool ok) override { call_->OnWritten(ok); }
  void OnCancel() override { call_->OnCancel(); }
  void OnDone() override {
    call_->OnDone();
    delete this;
  }

 private:
  const std::shared_ptr<ServerCall> call_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
};

}  // namespace yagura::rpc
