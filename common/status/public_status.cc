#include "common/status/public_status.h"

#include <array>
#include <string>

#include "fmt/format.h"

namespace yagura {
namespace {

// "... unix:/run/flow.sock: No such file" and "... ipv4:10.0.3.7:7070: Failed to connect" without
// the address; the cause stays.
std::string WithoutAddresses(std::string_view message) {
  struct Scheme {
    std::string_view name;
    std::string_view ends;  // what no address has in it
  };
  constexpr std::array<Scheme, 3> kSchemes = {
      {{"unix:", " ,;:()\"'"}, {"ipv4:", " ,;()\"'"}, {"ipv6:", " ,;()\"'"}}};
  std::string text(message);
  for (const Scheme& scheme : kSchemes) {
    for (size_t begin = 0; (begin = text.find(scheme.name, begin)) != text.npos;) {
      size_t end = text.find_first_of(scheme.ends, begin + scheme.name.size());
      if (end == text.npos) end = text.size();
      if (text[end - 1] == ':' && end > begin + scheme.name.size()) --end;
      text.replace(begin, end - begin, "(address)");
    }
  }
  return text;
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
                                                        : WithoutAddresses(message);
  if (text == Message(status)) return status;
  Status told(status.code(), text);
  status.ForEachPayload(
      [&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

}  // namespace yagura
