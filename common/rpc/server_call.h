#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/support/byte_buffer.h"

#include "common/rpc/call.h"
#include "common/rpc/method.h"
#include "common/rpc/runtime.h"
#include "common/rpc/streams.h"

namespace yagura::rpc {

// One call, of any kind, from its arrival to its end. gRPC's reactor and context live until OnDone;
// this object is shared with jobs and with whoever holds the outbox, and lives as long as any of
// them. Thread-safe.
//
// All that is sent goes through one path: a bounded queue, one write in flight, then the status.
class ServerCall final : public RawOutbox, public std::enable_shared_from_this<ServerCall> {
 public:
  // Makes the reactor that gRPC drives; the call begins.
  static grpc::ServerGenericBidiReactor* Start(Runtime& runtime,
                                               grpc::GenericCallbackServerContext* context);
  ~ServerCall() override;

  // RawOutbox.
  bool Push(std::shared_ptr<const google::protobuf::Message> message) override;
  bool PushWhenRoom(std::shared_ptr<const google::protobuf::Message> message) override;
  void Finish(const absl::Status& status) override;

  // Whether it goes on until somebody ends it: Watch and Stream.
  bool is_endless() const;

 private:
  class Reactor;
  using Message = google::protobuf::Message;

  ServerCall(Runtime& runtime, grpc::GenericCallbackServerContext* context);
  void Begin(grpc::GenericCallbackServerContext* context);
  absl::Status Admit(grpc::GenericCallbackServerContext* context);
  std::shared_ptr<const auth::Principal> ServiceOrNobody(const std::string& authorization);
  absl::Status TakeQuota(Quota& quota, double amount, std::string_view what);
  void SetDeadline(grpc::GenericCallbackServerContext* context);

  // Reactions of gRPC.
  void OnRead(bool ok, grpc::ByteBuffer buffer);
  void OnWritten(bool ok);
  void OnCancel();
  void OnDone();

  // Jobs.
  void RunRequest(grpc::ByteBuffer buffer);
  void RunUnary(const Message& request);
  void RunServerStream(const Message& request);
  void RunWatch(const Message& request);
  void OpenSession();
  void RunMessage(grpc::ByteBuffer buffer);
  void RunResume();
  // Reads the next message once neither the quota nor the session wants the sender to wait.
  void ReadAfter(std::chrono::milliseconds quota_pause);
  void RunClientDone();
  // Runs a step of a session; the steps never overlap, and OnEnd is the last.
  void SubmitStep(std::function<void(ServerCall&)> step);
  void EndSession();
  void ReadNext();

  bool IsWanted();  // still has somebody who waits for the answer
  absl::StatusOr<std::unique_ptr<Message>> Parse(grpc::ByteBuffer buffer);
  // The tenant that the request is about, where the caller may act there.
  absl::StatusOr<std::string> CheckRequest(const Message& request);
  absl::StatusOr<Call> MakeCall(const Message* request);
  void CheckRightsLater();
  void CheckRights();
  void Record(audit::v1::Action action, int code);
  void Report(int code, std::string_view message);

  absl::Status Serialize(const Message& message, grpc::ByteBuffer& buffer) const;
  bool Enqueue(const Message& message, bool wait);
  // The mutex is held by the caller of these.
  bool HasRoom() const;
  // Ends the call without what is still queued.
  void Drop(const absl::Status& status);
  void FinishLocked(const absl::Status& status);
  void Progress();
  void CutOffLater();

  Runtime& runtime_;
  const std::string method_name_;
  const Method* const method_;  // null for one that is not served
  const std::string peer_;
  const SteadyTime begun_ = std::chrono::steady_clock::now();
  std::string authorization_;
  std::shared_ptr<const auth::Principal> principal_;
  std::string quota_key_;
  SteadyTime deadline_ = SteadyTime::max();
  std::stop_source stop_;
  // Copied, because an outbox may outlive the server.
  struct Limits {
    size_t max_send_bytes;
    size_t outbox_messages;
    size_t outbox_bytes;
    std::chrono::milliseconds reader_patience;
  };
  const Limits limits_;

  std::mutex mutex_;
  std::condition_variable room_;
  Reactor* reactor_ = nullptr;  // null once the call is over
  grpc::GenericCallbackServerContext* context_ = nullptr;
  std::deque<grpc::ByteBuffer> queue_;
  size_t queued_bytes_ = 0;
  bool writing_ = false;
  bool closing_ = false;   // final_ is decided
  bool finished_ = false;  // and has been handed to gRPC
  absl::Status final_;
  struct About {
    std::string resource;
    std::string tenant;
    std::string detail;
  };
  About about_;  // for the audit record and the log
  bool recorded_ = false;
  std::shared_ptr<void> subscription_;
  std::shared_ptr<StreamSession<Message>> session_;
  int steps_ = 0;  // of the session, submitted and not yet done
  bool ended_ = false;
  bool counted_as_stream_ = false;
};

}  // namespace yagura::rpc
