#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/auth/principal.h"
#include "common/filter/filter.h"
#include "common/log/log.h"
#include "common/stream/topic.h"
#include "yagura/archive/v1/archive_service.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

// Shows events as they come, to any number of subscribers, from one thread that reads the end of
// the events' streams while there is somebody to show them to. Needs no lease and commits nothing.
// Thread-safe.
class TailHub {
 public:
  // Called on the hub's thread: must not block. False ends the subscription.
  using Push = std::function<bool(v1::TailEventsResponse)>;

  TailHub(std::shared_ptr<redis::Pool> flow, stream::Topic topic, Logger logger);
  ~TailHub();  // stops
  void Start();
  void Stop();

  // Events received from now on. Ends when the returned handle goes.
  std::shared_ptr<void> Subscribe(auth::TenantSet tenants, filter::Filter filter, Push push);

 private:
  struct Subscription;
  using Subscriptions = std::vector<std::shared_ptr<Subscription>>;

  void Run(const std::stop_token& stop);
  // Follows the streams until nobody listens any more.
  absl::Status Follow(const std::stop_token& stop);
  absl::Status SkipToEnd(std::vector<std::string>* places) const;
  void Show(std::string_view payload, const Subscriptions& subscriptions) const;
  Subscriptions Listeners();

  const std::shared_ptr<redis::Pool> flow_;
  const stream::Topic topic_;
  const Logger logger_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::weak_ptr<Subscription>> subscriptions_;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace yagura::archive
