#include "services/archive/storage/store_servers.h"

#include <utility>

#include "common/status/status.h"

namespace yagura::archive {
namespace {

constexpr std::string_view kUsable = "usable";
constexpr std::string_view kAway = "away";
constexpr std::string_view kUnfit = "unfit";
constexpr std::string_view kUnknown = "unknown";

std::string_view StateOf(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kUsable;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kAway;
    default:
      return kUnfit;
  }
}

}  // namespace

StoreServers::StoreServers(std::vector<std::string> addresses, Logger logger)
    : addresses_(std::move(addresses)),
      logger_(std::move(logger)),
      states_(addresses_.size(), kUnknown) {}

void StoreServers::Note(size_t server, const Status& status) {
  const std::string_view state = StateOf(status);
  {
    const std::lock_guard lock(mutex_);
    states_.at(server) = state;
  }
  const std::string& address = addresses_.at(server);
  if (status.ok()) {
    logger_.Info("a server of the event store is in use", {{"server", address}});
  } else if (state == kAway) {
    logger_.Warning("a server of the event store is away",
                    {{"server", address}, {"why", Message(status)}});
  } else {
    logger_.Error("a server of the event store is not used: it is not fit",
                  {{"server", address}, {"reason", ErrorReason(status)}, {"why", Message(status)}});
  }
}

std::map<std::string_view, size_t> StoreServers::Counts() const {
  std::map<std::string_view, size_t> counts = {
      {kUsable, 0}, {kAway, 0}, {kUnfit, 0}, {kUnknown, 0}};
  const std::lock_guard lock(mutex_);
  for (const std::string_view state : states_) ++counts[state];
  return counts;
}

}  // namespace yagura::archive
