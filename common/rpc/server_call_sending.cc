// The sending half of ServerCall: a bounded queue, one write in flight, and how a call ends.

#include <utility>

#include "grpcpp/impl/codegen/proto_utils.h"

#include "common/rpc/channels.h"
#include "common/rpc/server_call.h"
#include "common/rpc/server_call_reactor.h"
#include "common/status/status.h"

namespace yagura::rpc {

bool ServerCall::Push(std::shared_ptr<const Message> message) { return Enqueue(*message, false); }

bool ServerCall::PushWhenRoom(std::shared_ptr<const Message> message) {
  return Enqueue(*message, true);
}

void ServerCall::Finish(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  FinishLocked(status);
}

bool ServerCall::HasRoom() const {
  return queue_.empty() ||
         (queue_.size() < limits_.outbox_messages && queued_bytes_ < limits_.outbox_bytes);
}

absl::Status ServerCall::Serialize(const Message& message, grpc::ByteBuffer& buffer) const {
  if (message.ByteSizeLong() > limits_.max_send_bytes) {
    return MakeError(absl::StatusCode::kResourceExhausted, "RESPONSE_TOO_LARGE",
                     "the answer is larger than the server may send; ask for less");
  }
  bool own = false;
  if (!grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(message, &buffer, &own).ok()) {
    return Internal("the answer cannot be encoded");
  }
  return absl::OkStatus();
}

bool ServerCall::Enqueue(const Message& message, bool wait) {
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
  }
  grpc::ByteBuffer buffer;
  const absl::Status serialized = Serialize(message, buffer);
  std::unique_lock lock(mutex_);
  if (wait) {
    room_.wait_for(lock, limits_.reader_patience, [this] { return closing_ || HasRoom(); });
  }
  if (closing_) return false;
  if (!serialized.ok()) {
    FinishLocked(serialized);
    return false;
  }
  if (!HasRoom()) {
    runtime_.slow_readers->Add();
    Drop(MakeError(absl::StatusCode::kResourceExhausted, "SLOW_READER",
                   "the stream was read too slowly and has been ended"));
    if (!is_endless()) CutOffLater();
    return false;
  }
  queued_bytes_ += buffer.Length();
  queue_.push_back(std::move(buffer));
  Progress();
  return true;
}

void ServerCall::Drop(const absl::Status& status) {
  queue_.clear();
  queued_bytes_ = 0;
  FinishLocked(status);
  Progress();
}

void ServerCall::FinishLocked(const absl::Status& status) {
  if (closing_) return;
  closing_ = true;
  final_ = status;
  room_.notify_all();
  Progress();
  // No deadline ever ends these.
  if (!status.ok() && is_endless()) CutOffLater();
}

void ServerCall::Progress() {
  if (writing_ || finished_ || reactor_ == nullptr) return;
  if (!queue_.empty()) {
    grpc::ByteBuffer next = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= next.Length();
    if (queue_.empty() && closing_ && final_.ok()) {
      finished_ = true;
      reactor_->WriteAndFinish(std::move(next));
      return;
    }
    writing_ = true;
    reactor_->Write(std::move(next), !queue_.empty());
    return;
  }
  if (!closing_) return;
  finished_ = true;
  reactor_->Finish(ToGrpc(final_));
}

// The reason reaches a reader that reads on. One that does not, for whom even the status stays
// behind what the transport holds already, is cut off without it.
void ServerCall::CutOffLater() {
  runtime_.deadlines.After(runtime_.options.slow_reader_grace, [weak = weak_from_this()] {
    const auto call = weak.lock();
    if (!call) return;
    const std::lock_guard lock(call->mutex_);
    if (call->context_ != nullptr) call->context_->TryCancel();
  });
}

}  // namespace yagura::rpc
