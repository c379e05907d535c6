#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "cli/client.h"

#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::cli {

// Sends batches over IngestionService.Push and keeps each until it is acknowledged. What the
// service did not take yet is sent again under its id, in its order, after the time that the
// service asked for: over the same stream, or a new one where that broke. For one thread.
class Pusher {
 public:
  struct Options {
    size_t window = 32;                  // batches that may wait for their acknowledgement
    std::chrono::seconds patience{120};  // how long nothing may be acknowledged before we give up
  };
  // `on_ack` is told lines and bytes of each acknowledged batch.
  Pusher(Client& client, Options options, std::function<void(uint64_t, uint64_t)> on_ack);
  ~Pusher();

  // Waits for room in the window. An error is final: refused, or out of patience.
  absl::Status Send(ingestion::v1::PushRequest batch);
  // Waits until everything is acknowledged.
  absl::Status Finish();
  int reconnects() const { return reconnects_; }
  // Batches that the service asked to send again later.
  int postponed() const { return postponed_; }

 private:
  using Stream = grpc::ClientReaderWriter<ingestion::v1::PushRequest, ingestion::v1::PushResponse>;
  struct Connection;

  struct Entry {
    ingestion::v1::PushRequest batch;
    bool sent = false;  // and not yet answered
  };

  absl::Status WaitUntilPending(size_t at_most);
  // Under the mutex: something is to be sent, its time has come, and nothing is outstanding that it
  // could overtake.
  bool MaySend() const;
  // Writes all that is not sent; a write that fails shows as the end of the stream.
  void SendPending();
  // A stream that works, with nothing sent over it yet; or why there is none.
  absl::Status Reconnect();
  void Disconnect();
  void Note(const ingestion::v1::PushResponse& response);
  void ReadAnswers(Stream& stream);

  Client& client_;
  const Options options_;
  const std::function<void(uint64_t, uint64_t)> on_ack_;
  std::unique_ptr<Connection> connection_;
  int reconnects_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> pending_;
  bool broken_ = true;
  std::chrono::steady_clock::time_point not_before_{};  // what was postponed is sent again then
  int postponed_ = 0;
  absl::Status refused_;
  std::chrono::steady_clock::time_point last_ack_;
};

}  // namespace yagura::cli
