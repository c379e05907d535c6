#include "common/event/control.h"

#include "fmt/format.h"

namespace yagura::event {
namespace {

// Unlike the first bytes of a batch, and of nothing that a batch could ever begin with.
constexpr std::string_view kMagic = "YGC1";

}  // namespace

std::string EncodeControl(std::string_view topic, std::string_view body) {
  return fmt::format("{}{}\n{}", kMagic, topic, body);
}

bool IsControl(std::string_view payload) { return payload.starts_with(kMagic); }

std::optional<std::string_view> ControlBody(std::string_view payload, std::string_view topic) {
  if (!IsControl(payload)) return std::nullopt;
  payload.remove_prefix(kMagic.size());
  if (!payload.starts_with(topic)) return std::nullopt;
  payload.remove_prefix(topic.size());
  if (!payload.starts_with('\n')) return std::nullopt;
  return payload.substr(1);
}

}  // namespace yagura::event
