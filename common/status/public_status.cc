#include "common/status/public_status.h"

#include <algorithm>
#include <string>

#include "fmt/format.h"

namespace yagura {
namespace {

// "... unix:/run/flow.sock: No such file" without the path; the cause stays.
std::string WithoutSockets(std::string_view message) {
  constexpr std::string_view kSocket = "unix:";
  std::string text;
  while (true) {
    const size_t begin = message.find(kSocket);
    text += message.substr(0, begin);
    if (begin == message.npos) return text;
    message.remove_prefix(begin + kSocket.size());
    message.remove_prefix(std::min(message.find_first_of(" ,;:()\"'"), message.size()));
    text += "(address)";
  }
}

std::string RedisMessage(absl::StatusCode code, std::string_view reason, std::string_view redis) {
  if (reason == "REDIS_TIMEOUT") return fmt::format("{} does not answer in time", redis);
  if (reason == "REDIS_LOADING") return fmt::format("{} is starting", redis);
  if (reason == "REDIS_OUT_OF_MEMORY") return fmt::format("{} has no memory left", redis);
  if (reason == "REDIS_POOL_EXHAUSTED") return fmt::format("{} is asked too much at once", redis);
  if (reason == "REDIS_UNREACHABLE") return fmt::format("{} cannot be reached", redis);
  return code == absl::StatusCode::kUnavailable ? fmt::format("{} cannot be used now", redis)
                                                : fmt::format("{} refuses it", redis);
}

}  // namespace

Status WithoutInsides(const Status& status, std::string_view redis) {
  if (status.ok()) return status;
  const std::string reason = ErrorReason(status);
  std::string_view message = Message(status);
  // What a script's error ends in: its hash and line.
  if (message.find("@user_script") != message.npos) {
    message = message.substr(0, message.find(" script: "));
  }
  const std::string text = reason.starts_with("REDIS_") ? RedisMessage(status.code(), reason, redis)
                                                        : WithoutSockets(message);
  if (text == Message(status)) return status;
  Status told(status.code(), text);
  status.ForEachPayload(
      [&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

}  // namespace yagura
