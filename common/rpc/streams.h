#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace yagura::rpc {

// The sending half of a stream: a bounded queue that the runtime drains, one write in flight.
// Thread-safe; may outlive the call, after which everything is refused.
class RawOutbox {
 public:
  virtual ~RawOutbox() = default;
  // Queues a message. False: the call is over, or the queue was full and the call has been ended
  // with RESOURCE_EXHAUSTED (SLOW_READER).
  virtual bool Push(std::shared_ptr<const google::protobuf::Message> message) = 0;
  // Waits for room first, as long as the server has patience with a reader that takes nothing; it
  // holds its thread meanwhile, so it is for server streams, which have threads of their own.
  virtual bool PushWhenRoom(std::shared_ptr<const google::protobuf::Message> message) = 0;
  // Ends the stream after what is queued. The first one counts.
  virtual void Finish(const absl::Status& status) = 0;
};

template <typename Response>
class Outbox {
 public:
  explicit Outbox(std::shared_ptr<RawOutbox> raw) : raw_(std::move(raw)) {}
  bool Push(Response response) const {
    return raw_->Push(std::make_shared<Response>(std::move(response)));
  }
  bool PushWhenRoom(Response response) const {
    return raw_->PushWhenRoom(std::make_shared<Response>(std::move(response)));
  }
  void Finish(const absl::Status& status) const { raw_->Finish(status); }

 private:
  std::shared_ptr<RawOutbox> raw_;
};

// The receiving half of a client or bidirectional stream: the runtime calls it on the App's
// executor, one message at a time, and reads the next after OnMessage returns.
template <typename Request>
class StreamSession {
 public:
  virtual ~StreamSession() = default;
  // An error ends the stream with it.
  virtual absl::Status OnMessage(const Request& request) = 0;
  // Asked after OnMessage and OnResume. Zero: the next message is read. Otherwise nothing is read
  // for so long, and OnResume is called then: how a session makes its sender wait without holding a
  // thread.
  virtual std::chrono::milliseconds Pause() const { return std::chrono::milliseconds(0); }
  // An error ends the stream with it.
  virtual absl::Status OnResume() { return absl::OkStatus(); }
  // The client has sent all; the session calls Outbox::Finish now or when its last answer is ready.
  virtual void OnClientDone() = 0;
  // The call is over, however it ended; nothing is called after this.
  virtual void OnEnd() {}
};

}  // namespace yagura::rpc
