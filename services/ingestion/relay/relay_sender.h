#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"
#include "services/ingestion/relay/relay_spool.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace yagura {
class MetricsRegistry;
}

namespace yagura::ingestion {

// Sends what is in a relay's spool to the suite over IngestionService.Push, in order, each batch
// until it is acknowledged. Where the suite is away or refuses, it tries again, later each time
// and never at the same moment as others. What goes again after longer than the suite remembers may
// be doubled: that is told first. On a thread of its own.
class RelaySender {
 public:
  struct Options {
    std::string endpoint;  // "host:port"
    std::filesystem::path api_key_file;
    std::filesystem::path ca_file;  // empty: no TLS
    size_t window = 32;             // batches that may wait for their acknowledgement
    std::chrono::milliseconds least_pause{500};
    std::chrono::milliseconds longest_pause{60'000};
    std::chrono::milliseconds ack_patience{60'000};  // without one, the connection is given up
    std::chrono::hours suite_remembers{24};          // for how long it knows a batch again
  };
  struct Stats {
    bool connected = false;  // the suite knows the key, and nothing has failed since
    TimePoint acknowledged_at{};
    uint64_t acknowledged_lines = 0;
    std::string last_error;  // why it is not connected, or was not last
  };

  RelaySender(Options options, std::shared_ptr<RelaySpool> spool,
              std::shared_ptr<MetricsRegistry> metrics, std::shared_ptr<const Clock> clock,
              Logger logger);
  ~RelaySender();  // stops
  void Start();
  void Stop();
  Stats stats() const;

 private:
  struct Session;

  void Run(const std::stop_token& stop);
  // Sends until the stream ends; why it did.
  absl::Status Serve(const std::stop_token& stop);
  absl::Status Connect(Session& session, const std::stop_token& stop);
  void ReadAnswers(Session& session);
  // The next batch onto the stream; false: there is none, or no room, or the stream has ended.
  bool SendNext(Session& session);
  // Whether the suite may have the batch, and would not know it again. Under the session's mutex.
  bool MayBeDoubled(const RelaySpool::Entry& entry);
  void EndSession(Session& session, const absl::Status& why);
  bool IsOver(Session& session, const std::stop_token& stop);
  void NoteFailure(const absl::Status& status);
  // After the pause, each longer than the one before; half of it is left to chance.
  void Pause(const std::stop_token& stop);

  const Options options_;
  const std::shared_ptr<RelaySpool> spool_;
  const std::shared_ptr<MetricsRegistry> metrics_;
  const std::shared_ptr<const Clock> clock_;
  const Logger logger_;
  std::shared_ptr<grpc::Channel> channel_;
  std::minstd_rand random_{std::random_device{}()};
  std::chrono::milliseconds pause_{0};
  std::string refused_id_;  // the batch that was refused as it is
  int refusals_ = 0;        // how often
  // When what the suite may have was sent first, or told to be in doubt. Under a session's mutex.
  std::map<RelaySpool::Place, SteadyTime> sent_;
  size_t of_earlier_run_ = 0;  // batches that one may have sent, and that were given again
  mutable std::mutex mutex_;
  Stats stats_;
  std::string told_error_;
  std::jthread thread_;
};

}  // namespace yagura::ingestion
